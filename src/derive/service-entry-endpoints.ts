import type { EndpointDocument } from '../config/manifests/schemas/endpoint.ts';
import type { ServiceEntryDocument } from '../config/manifests/schemas/service-entry.ts';
import type { Condition, Workload } from '../model/workload.ts';
import { condition, resourceText } from './context.ts';
import type { Context } from './context.ts';
import { endpointAddress, endpointPlace, isLocalName } from './endpoint-address.ts';
import { externalWorkload, namedPortsOfEndpoint } from './external-workload.ts';
import type { Subject } from './external-workload.ts';
import { limited } from './limited.ts';
import { portsIn, sourceKey } from './service-sources.ts';
import type { ServiceSource } from './service-sources.ts';
import { workloadWaypoint } from './waypoints/binding.ts';

export interface DerivedWorkloads {
  readonly workloads: readonly Workload[];
  readonly conditions: readonly Condition[];
}

/** What the endpoints of an entry stand for, and who looks at them. */
export interface EndpointFacts {
  /** Those services of the entry that are in force; without any, its endpoints are nobody's. */
  readonly chosen: readonly ServiceSource[];
  /** Keys of the policies that are attached to something with such labels. */
  readonly policiesOf: (subject: Subject, waypoint: Workload['waypoint']) => readonly string[];
}

/** Workloads of the endpoints that a ServiceEntry writes down. */
export function serviceEntryWorkloads(
  document: ServiceEntryDocument,
  context: Context,
  facts: EndpointFacts,
): DerivedWorkloads {
  const workloads = new Map<string, Workload>();
  const conditions: Condition[] = [];
  const note = (index: number, reason: string, message: string) => {
    const resource = resourceText('ServiceEntry', document);
    conditions.push(condition(resource, 'Accepted', reason, `spec.endpoints[${index}] ${message}`));
  };
  if (!hasEffect(document) || facts.chosen.length === 0) return { workloads: [], conditions: [] };
  if (isNamedByHosts(document)) return { workloads: hostWorkloads(document, context, facts), conditions: [] };
  for (const [index, endpoint] of document.spec.endpoints.entries()) {
    const found = isLookedUp(document)
      ? endpointPlace(endpoint, context.settings)
      : endpointAddress(endpoint, context.settings);
    const place = 'name' in found ? found.name : found.address;
    if (place === null) note(index, found.problem?.reason ?? '', found.problem?.message ?? '');
    else if (workloads.has(place)) note(index, 'DuplicateEndpoint', `is ${place} once more: the first counts`);
    else workloads.set(place, inlineWorkload(document, endpoint, place, context, facts));
  }
  return { workloads: [...workloads.values()], conditions: limited(conditions) };
}

function isLookedUp({ spec }: ServiceEntryDocument): boolean {
  return spec.resolution === 'DNS' || spec.resolution === 'DNS_ROUND_ROBIN';
}

/** No endpoint is written, nor selected: each host is its own. */
function isNamedByHosts(document: ServiceEntryDocument): boolean {
  const { endpoints, workloadSelector } = document.spec;
  return isLookedUp(document) && endpoints.length === 0 && workloadSelector === null;
}

const unwritten: EndpointDocument = {
  address: null,
  ports: {},
  labels: {},
  network: null,
  locality: null,
  weight: null,
  serviceAccount: null,
};

function hostWorkloads(document: ServiceEntryDocument, context: Context, facts: EndpointFacts): readonly Workload[] {
  return facts.chosen.flatMap((source) => {
    const { hostname } = source.service;
    if (isLocalName(hostname)) return [];
    return [inlineWorkload(document, unwritten, hostname, context, { ...facts, chosen: [source] })];
  });
}

/** With `NONE` each connection goes where the client sent it. */
function hasEffect({ spec }: ServiceEntryDocument): boolean {
  return spec.resolution !== 'NONE' && spec.resolution !== 'DYNAMIC_DNS';
}

function inlineWorkload(
  document: ServiceEntryDocument,
  endpoint: EndpointDocument,
  address: string,
  context: Context,
  { chosen, policiesOf }: EndpointFacts,
): Workload {
  const { name, namespace, annotations } = document.metadata;
  const labels = { ...document.metadata.labels, ...endpoint.labels };
  const named = namedPortsOfEndpoint(endpoint);
  // What is wrong with it is told of the entry as a whole.
  const { waypoint } = workloadWaypoint(
    { resource: resourceText('ServiceEntry', document), ...document.metadata },
    context,
  );
  return externalWorkload(
    {
      path: `networking.istio.io/ServiceEntry/${namespace}/${name}/${address}`,
      name,
      namespace,
      address,
      workloadName: name,
      labels,
      annotations,
      endpoint,
      status: 'healthy',
      facts: {
        services: new Map(chosen.map((source) => [sourceKey(source), portsIn(source, named)])),
        authorizationPolicies: policiesOf({ metadata: { namespace, labels } }, waypoint),
        waypoint,
      },
    },
    context,
  );
}
