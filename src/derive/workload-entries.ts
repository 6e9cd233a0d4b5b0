import type { EndpointDocument } from '../config/manifests/schemas/endpoint.ts';
import type { WorkloadEntryDocument, WorkloadGroupDocument } from '../config/manifests/schemas/workload-entry.ts';
import type { Condition, Workload } from '../model/workload.ts';
import { condition, resourceText } from './context.ts';
import type { Context } from './context.ts';
import { endpointAddress } from './endpoint-address.ts';
import { externalWorkload } from './external-workload.ts';
import type { ExternalWorkload, Subject } from './external-workload.ts';
import type { Labels } from './selectors.ts';

const groupAnnotation = 'istio.io/autoRegistrationGroup';
const workloadNameLabel = 'service.istio.io/workload-name';

/** A WorkloadEntry with what its group says of it. */
export interface CompleteEntry extends Subject {
  readonly document: WorkloadEntryDocument;
  readonly annotations: Labels;
  readonly endpoint: EndpointDocument;
}

/** Name of the WorkloadGroup, in the entry's own namespace, that an entry was made from; null: from none. */
export function groupNameOf({ metadata }: WorkloadEntryDocument): string | null {
  const owner = metadata.ownerReferences.find(({ kind }) => kind === 'WorkloadGroup');
  return owner?.name ?? metadata.annotations[groupAnnotation] ?? null;
}

/**
 * What the entry says wins over its group, and of the group its `metadata` over its template: so an entry that istiod has
 * made, with everything copied, means the same as one that only names its group.
 *
 * @param group the one that the entry names; null where it names none, or one that is not there
 */
export function completeEntry(document: WorkloadEntryDocument, group: WorkloadGroupDocument | null): CompleteEntry {
  const { metadata, spec } = document;
  const template = group?.spec.template ?? null;
  const labels = { ...template?.labels, ...group?.spec.metadata.labels, ...spec.labels, ...metadata.labels };
  return {
    document,
    metadata: { namespace: metadata.namespace, labels },
    annotations: { ...group?.spec.metadata.annotations, ...metadata.annotations },
    endpoint: {
      address: spec.address,
      labels,
      ports: { ...template?.ports, ...spec.ports },
      network: spec.network ?? template?.network ?? null,
      locality: spec.locality ?? template?.locality ?? null,
      weight: spec.weight ?? template?.weight ?? null,
      serviceAccount: spec.serviceAccount ?? template?.serviceAccount ?? null,
    },
  };
}

/** Null where it has no address that can be reached. */
export function deriveWorkloadEntry(
  entry: CompleteEntry,
  context: Context,
  facts: ExternalWorkload['facts'],
): Workload | null {
  const { document, endpoint, annotations } = entry;
  const { name, namespace } = document.metadata;
  const { labels } = entry.metadata;
  const { address } = endpointAddress(endpoint, context.settings);
  if (address === null) return null;
  return externalWorkload(
    {
      path: `networking.istio.io/WorkloadEntry/${namespace}/${name}`,
      name,
      namespace,
      address,
      workloadName: groupNameOf(document) ?? labels[workloadNameLabel] ?? name,
      labels,
      annotations,
      endpoint,
      status: isHealthy(document) ? 'healthy' : 'unhealthy',
      facts,
    },
    context,
  );
}

/** Parts of a WorkloadEntry that are not honoured. */
export function workloadEntryConditions(
  entry: CompleteEntry,
  group: WorkloadGroupDocument | null,
  context: Context,
): readonly Condition[] {
  const resource = resourceText('WorkloadEntry', entry.document);
  const conditions: Condition[] = [];
  const { problem } = endpointAddress(entry.endpoint, context.settings);
  if (problem !== null) conditions.push(condition(resource, 'Accepted', problem.reason, problem.message));
  const named = groupNameOf(entry.document);
  if (named !== null && group === null) {
    const message = `its WorkloadGroup ${named} is not there: the entry counts as it is written`;
    conditions.push(condition(resource, 'Accepted', 'GroupNotFound', message));
  }
  return conditions;
}

/** Parts of a WorkloadGroup that are not honoured. */
export function workloadGroupConditions(document: WorkloadGroupDocument): readonly Condition[] {
  if (document.spec.probe === null) return [];
  const message = 'the probe is run by nobody: entries are healthy unless their condition Healthy is False';
  return [condition(resourceText('WorkloadGroup', document), 'Accepted', 'ProbeNotSupported', message)];
}

function isHealthy({ metadata, status }: WorkloadEntryDocument): boolean {
  const healthy = status.conditions.find(({ type }) => type === 'Healthy');
  return metadata.deletionTimestamp === null && healthy?.status !== 'False';
}
