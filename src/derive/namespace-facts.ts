import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { Workload } from '../model/workload.ts';
import { SharedValues } from '../model/shared-values.ts';
import { attachedKeys } from './attachment.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { AnyIndex } from './collections/collection-index.ts';
import type { DerivedCollection } from './collections/derived-collection.ts';
import { namespaceOf } from './context.ts';
import { sliceMembership } from './endpoint-slices.ts';
import type { HandWrittenSlice } from './endpoint-slice-collections.ts';
import type { Subject } from './external-workload.ts';
import { isSelectedBy } from './network-policies.ts';
import type { PolicyCollections } from './policy-collections.ts';
import type { ServiceCollections } from './service-collections.ts';
import { membership, selectionIndex, sourceKey } from './service-sources.ts';
import type { NamedPorts, ServiceSource } from './service-sources.ts';
import { namedPortsOf } from './services.ts';
import type { Sources } from './sources.ts';
import type { PodFacts } from './workloads.ts';

/** What holds for everything in a namespace, worked out once for all of it. */
export interface NamespaceFacts {
  /** @param isGateway it is a proxy of a gateway */
  factsOf(pod: PodDocument, waypoint: Workload['waypoint'], isGateway: boolean): PodFacts;
  servicesOf(subject: Subject, named: NamedPorts): PodFacts['services'];
  /** Keys of the policies that it gets by a selector or a PeerAuthentication. */
  policiesOf(subject: Subject, waypoint: Workload['waypoint']): readonly string[];
}

interface Inputs {
  readonly policies: PolicyCollections;
  readonly services: ServiceCollections;
  readonly slices: DerivedCollection<HandWrittenSlice>;
}

/** By namespace, for those that hold pods or what is like them. */
export function createNamespaceFacts(
  graph: CollectionGraph,
  sources: Sources,
  { policies, services, slices }: Inputs,
): DerivedCollection<NamespaceFacts> {
  const networkPolicies = sources.NetworkPolicy.index(namespaceOf);
  const naming = slices.index(({ pods }) => [...new Set(pods.map(namespaceOfKey))]);
  const foreign = existence(
    graph,
    sources.ForeignNetworkPolicy.index(() => [anyKey]),
  );
  return graph.group<NamespaceFacts>({
    name: 'namespace facts',
    from: [sources.Pod, sources.WorkloadEntry, sources.ServiceEntry].map((source) => source.index(namespaceOf)),
    reads: [sources.NetworkPolicy, foreign, slices, ...services.collections, ...policies.collections],
    compute: (namespace, read) => {
      const selecting = read.byIndex(networkPolicies, namespace);
      const mayAllBeSelected = read.get(foreign, anyKey) !== undefined;
      const inNamespace = services.inNamespace(namespace, read);
      const candidates = selectionIndex(inNamespace);
      const ofSlices = read.byIndex(naming, namespace);
      const slicesOf = slicesByPod(ofSlices);
      const guarding = guardingServices([...inNamespace, ...ofSlices.flatMap(({ service }) => service ?? [])]);
      const { peers, policies: attachable } = policies.attachment(namespace, read);
      const policiesOf = (subject: Subject, waypoint: Workload['waypoint'], isGateway = false) => [
        ...peers.keysFor(subject),
        ...attachedKeys(attachable, subject, waypoint, isGateway),
      ];
      const servicesOf = (subject: Subject, named: NamedPorts) =>
        membership(candidates(subject.metadata.labels), subject.metadata.labels, named);
      const memberships = new SharedValues<PodFacts['services']>();
      const attachments = new SharedValues<readonly string[]>();
      return {
        servicesOf,
        policiesOf,
        factsOf: (pod, waypoint, isGateway) => {
          const naming = slicesOf.get(`${namespace}/${pod.metadata.name}`) ?? [];
          const services = new Map([...servicesOf(pod, namedPortsOf(pod)), ...sliceMembership(naming)]);
          const authorizationPolicies = policiesOf(pod, waypoint, isGateway);
          return {
            services: memberships.share(membershipText(services), services),
            authorizationPolicies: attachments.share(authorizationPolicies.join(), authorizationPolicies),
            waypoint,
            guardedByService: guarding.size > 0 && [...services.keys()].some((key) => guarding.has(key)),
            selectedByNetworkPolicy: mayAllBeSelected || isSelectedBy(selecting, pod),
          };
        },
      };
    },
    // It is computed again only where something of it has changed.
    equal: () => false,
  });
}

const anyKey = 'any';

/** Holds one item as long as there is any policy that only the CNI can read: each of them may select every pod. */
function existence(graph: CollectionGraph, index: AnyIndex): DerivedCollection<true> {
  return graph.group<true>({ name: 'foreign network policies', from: [index], compute: () => true });
}

/** Those whose endpoints take connections only through their waypoint. */
function guardingServices(services: readonly ServiceSource[]): ReadonlySet<string> {
  return new Set(services.filter(({ service }) => service.waypoint?.required === true).map(sourceKey));
}

type SliceOfService = HandWrittenSlice & { readonly service: ServiceSource };

function slicesByPod(slices: readonly HandWrittenSlice[]): ReadonlyMap<string, readonly SliceOfService[]> {
  const byPod = new Map<string, SliceOfService[]>();
  for (const { service, ...slice } of slices) {
    if (service === null) continue;
    for (const pod of slice.pods) byPod.set(pod, [...(byPod.get(pod) ?? []), { ...slice, service }]);
  }
  return byPod;
}

/** Names of services hold neither of the separators. */
function membershipText(services: PodFacts['services']): string {
  return [...services].map(([key, ports]) => [key, ...[...ports].flat()].join()).join(';');
}

function namespaceOfKey(pod: string): string {
  return pod.slice(0, pod.indexOf('/'));
}
