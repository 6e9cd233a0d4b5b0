import type { Resources } from '../config/manifests/resources.ts';
import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { Condition, LocalPod, MeshState, Workload } from '../model/workload.ts';
import { claimedAddresses, conflictsAt } from './address-conflicts.ts';
import type { AddressClaims } from './address-conflicts.ts';
import { attachedKeys, policyKey } from './attachment.ts';
import { deriveAuthorizationPolicies } from './authorization-policies.ts';
import { condition, groupedBy, isRunning, makeContext, resourceText } from './context.ts';
import type { Context } from './context.ts';
import { endpointSliceWorkloads, podsInSlice, sliceMembership, sliceServiceKey } from './endpoint-slices.ts';
import { namedPortsOfEndpoint } from './external-workload.ts';
import type { Subject } from './external-workload.ts';
import { deriveLocalPod, localPodConditions } from './local-pods.ts';
import { networkPolicySelection } from './network-policies.ts';
import { derivePeerAuthentications } from './peer-authentication.ts';
import { serviceEntryConditions } from './service-entries.ts';
import { serviceEntryWorkloads } from './service-entry-endpoints.ts';
import { ServiceRegistry } from './service-registry.ts';
import { membership, sourceKey, unknownPortNames } from './service-sources.ts';
import { namedPortsOf, serviceConditions } from './services.ts';
import { namespaceConditions, podConditions, unsupportedConditions, unsupportedGroup } from './unsupported.ts';
import {
  completeEntry,
  deriveWorkloadEntry,
  groupNameOf,
  workloadEntryConditions,
  workloadGroupConditions,
} from './workload-entries.ts';
import { deriveWorkload } from './workloads.ts';

export interface DeriveOptions {
  /** Name of the node whose pods become `localPods`; null: of every node, as the control plane tells each its own. */
  readonly node: string | null;
}

/** What the manifests mean for a node. Pure: the same manifests give the same state. */
export function deriveMeshState(resources: Resources, options: DeriveOptions): MeshState {
  const steps = deriveMeshStateSteps(resources, options);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Derives pod by pod, so that the caller can let other work run in between. */
export function* deriveMeshStateSteps(resources: Resources, options: DeriveOptions): Generator<undefined, MeshState> {
  const context = makeContext(resources);
  const { settings } = context;
  const pods = resources.pods.filter(isRunning);
  const services = new ServiceRegistry(resources, context);
  const authorization = deriveAuthorizationPolicies(resources.authorizationPolicies, settings);
  const peers = derivePeerAuthentications(resources.peerAuthentications, settings);
  const policiesOf = (subject: Subject) => [
    ...peers.keysFor(subject),
    ...attachedKeys(authorization.policies, subject),
  ];
  const workloads: Workload[] = [];
  const derivePod = podDerivation(resources, context, services);
  for (const pod of pods) {
    workloads.push(derivePod(pod, policiesOf(pod)));
    yield;
  }
  const external = deriveExternal(resources, context, services, policiesOf);
  workloads.push(...external.workloads);
  const local = deriveLocalPods(pods, context, options.node);
  yield;
  return {
    settings,
    workloads: keyed(workloads, ({ uid }) => uid),
    services: new Map(services.all.map((source) => [sourceKey(source), source.service])),
    policies: keyed(
      [...peers.policies, ...authorization.policies].map(({ policy }) => policy),
      policyKey,
    ),
    localPods: local.pods,
    conditions: [
      ...peers.conditions,
      ...authorization.conditions,
      ...resources.services.flatMap(serviceConditions),
      ...resources.serviceEntries.flatMap((document) => serviceEntryConditions(document, settings)),
      ...services.conditions,
      ...external.conditions,
      ...portNameConditions(services, workloads),
      ...addressConditions(services, workloads),
      ...resources.namespaces.flatMap(namespaceConditions),
      ...pods.flatMap(podConditions),
      ...local.conditions,
      ...[...groupedBy(resources.unsupported, unsupportedGroup).values()].flatMap(unsupportedConditions),
    ],
  };
}

function podDerivation(
  resources: Resources,
  context: Context,
  services: ServiceRegistry,
): (pod: PodDocument, authorizationPolicies: readonly string[]) => Workload {
  const selected = networkPolicySelection(resources);
  const named = resources.endpointSlices.flatMap((slice) => {
    const service = services.kubernetesService(sliceServiceKey(slice, context.settings) ?? '');
    return service === null ? [] : podsInSlice(slice).map((pod) => ({ pod, slice, service }));
  });
  const slicesOf = groupedBy(named, ({ pod }) => pod);
  return (pod, authorizationPolicies) => {
    const { namespace, name, labels } = pod.metadata;
    const selecting = membership(services.inNamespace(namespace), labels, namedPortsOf(pod));
    const bySlices = sliceMembership(slicesOf.get(`${namespace}/${name}`) ?? []);
    return deriveWorkload(pod, context, {
      services: new Map([...selecting, ...bySlices]),
      authorizationPolicies,
      selectedByNetworkPolicy: selected(pod),
    });
  };
}

interface Derived {
  readonly workloads: readonly Workload[];
  readonly conditions: readonly Condition[];
}

/** Workloads that are no pods. */
function deriveExternal(
  resources: Resources,
  context: Context,
  services: ServiceRegistry,
  policiesOf: (subject: Subject) => readonly string[],
): Derived {
  const parts: readonly Derived[] = [
    deriveEntries(resources, context, services, policiesOf),
    ...resources.serviceEntries.map((document) => {
      const chosen = services.ofDocument(resourceText('ServiceEntry', document));
      return serviceEntryWorkloads(document, context, { chosen, policiesOf });
    }),
    ...resources.endpointSlices.map((slice) => {
      const service = services.kubernetesService(sliceServiceKey(slice, context.settings) ?? '');
      return endpointSliceWorkloads(slice, service, context);
    }),
  ];
  return {
    workloads: parts.flatMap(({ workloads }) => workloads),
    conditions: parts.flatMap(({ conditions }) => conditions),
  };
}

function deriveEntries(
  { workloadEntries, workloadGroups }: Resources,
  context: Context,
  services: ServiceRegistry,
  policiesOf: (subject: Subject) => readonly string[],
): Derived {
  const groups = keyed(workloadGroups, ({ metadata }) => `${metadata.namespace}/${metadata.name}`);
  const parts = workloadEntries.map((document) => {
    const { namespace } = document.metadata;
    const group = groups.get(`${namespace}/${groupNameOf(document) ?? ''}`) ?? null;
    const entry = completeEntry(document, group);
    const named = namedPortsOfEndpoint(entry.endpoint);
    const workload = deriveWorkloadEntry(entry, context, {
      services: membership(services.inNamespace(namespace), entry.metadata.labels, named),
      authorizationPolicies: policiesOf(entry),
    });
    return { workload, conditions: workloadEntryConditions(entry, group, context) };
  });
  return {
    workloads: parts.flatMap(({ workload }) => workload ?? []),
    conditions: [...parts.flatMap(({ conditions }) => conditions), ...workloadGroups.flatMap(workloadGroupConditions)],
  };
}

function portNameConditions(services: ServiceRegistry, workloads: readonly Workload[]): readonly Condition[] {
  const asking = services.all.filter(({ ports }) => ports.some(({ targetName }) => targetName !== null));
  const members = new Map<string, Workload[]>(asking.map((source) => [sourceKey(source), []]));
  for (const workload of workloads) for (const key of workload.services.keys()) members.get(key)?.push(workload);
  return asking.flatMap((source) => unknownPortNames(source, members.get(sourceKey(source)) ?? []));
}

function addressConditions(services: ServiceRegistry, workloads: readonly Workload[]): readonly Condition[] {
  const claims = new Map<string, { workloads: Workload[]; services: AddressClaims['services'][number][] }>();
  const at = (address: string) => {
    const known = claims.get(address) ?? { workloads: [], services: [] };
    claims.set(address, known);
    return known;
  };
  for (const workload of workloads) {
    for (const address of claimedAddresses(workload)) at(address).workloads.push(workload);
  }
  for (const source of services.all) for (const vip of source.service.vips) at(vip).services.push(source);
  return [...claims].flatMap(([address, all]) =>
    all.workloads.length + all.services.length > 1 ? conflictsAt(address, all) : [],
  );
}

interface LocalPods {
  readonly pods: ReadonlyMap<string, LocalPod>;
  readonly conditions: readonly Condition[];
}

/** A UID that two pods claim is an identity in doubt: neither of them is taken in. */
function deriveLocalPods(pods: readonly PodDocument[], context: Context, node: string | null): LocalPods {
  const isHere = (name: string | null): boolean => (node === null ? name !== null : name === node);
  const here = pods.filter(({ spec }) => isHere(spec.nodeName) && !spec.hostNetwork);
  const derived = here.map((pod) => ({ pod, local: deriveLocalPod(pod, context) }));
  const counts = new Map<string, number>();
  for (const { local } of derived) counts.set(local.uid, (counts.get(local.uid) ?? 0) + 1);
  const sole = derived.filter(({ local }) => counts.get(local.uid) === 1);
  const doubtful = derived.filter(({ local }) => counts.get(local.uid) !== 1);
  return {
    pods: new Map(sole.map(({ local }) => [local.uid, local])),
    conditions: [
      ...sole.flatMap(({ pod, local }) => localPodConditions(pod, local)),
      ...doubtful.map(({ pod, local }) => duplicateUid(pod, local)),
    ],
  };
}

function duplicateUid(pod: PodDocument, { uid }: LocalPod): Condition {
  const message = `metadata.uid ${uid} is that of another pod too: none of them is enrolled until each has its own`;
  return condition(resourceText('Pod', pod), 'Enrolled', 'DuplicateUid', message);
}

function keyed<Value>(values: readonly Value[], keyOf: (value: Value) => string): ReadonlyMap<string, Value> {
  return new Map(values.map((value) => [keyOf(value), value]));
}
