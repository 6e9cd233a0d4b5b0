import { endpointsWithoutClusterIps } from './cluster-ips.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { DerivedCollection } from './collections/derived-collection.ts';
import { resourceText } from './context.ts';
import type { Contexts } from './contexts.ts';
import { namedPortsOfEndpoint } from './external-workload.ts';
import type { NamespaceFacts } from './namespace-facts.ts';
import type { ServiceCollections } from './service-collections.ts';
import { serviceEntryWorkloads } from './service-entry-endpoints.ts';
import type { DerivedWorkloads } from './service-entry-endpoints.ts';
import type { Sources } from './sources.ts';
import { workloadWaypoint } from './waypoints/binding.ts';
import { completeEntry, deriveWorkloadEntry, groupNameOf, workloadEntryConditions } from './workload-entries.ts';

/** Workloads of WorkloadEntries. */
export function createWorkloadEntries(
  graph: CollectionGraph,
  sources: Sources,
  contexts: Contexts,
  facts: DerivedCollection<NamespaceFacts>,
  services: ServiceCollections,
): DerivedCollection<DerivedWorkloads> {
  return graph.derive({
    name: 'workload entries',
    from: sources.WorkloadEntry,
    reads: [sources.WorkloadGroup, facts, ...contexts.collections, ...services.collections],
    compute: (document, read): DerivedWorkloads | undefined => {
      const { namespace } = document.metadata;
      const ofNamespace = read.get(facts, namespace);
      if (ofNamespace === undefined) return undefined;
      const groupName = groupNameOf(document);
      const group = groupName === null ? undefined : read.get(sources.WorkloadGroup, `${namespace}/${groupName}`);
      const entry = completeEntry(document, group ?? null);
      const context = contexts.contextFor(read);
      const bindable = { resource: resourceText('WorkloadEntry', document), ...entry.metadata };
      const { waypoint, conditions } = workloadWaypoint({ ...bindable, annotations: entry.annotations }, context);
      const workload = deriveWorkloadEntry(entry, context, {
        services: ofNamespace.servicesOf(entry, namedPortsOfEndpoint(entry.endpoint)),
        authorizationPolicies: ofNamespace.policiesOf(entry, waypoint),
        waypoint,
      });
      const workloads = workload === null ? [] : [workload];
      const remarks = [...conditions, ...workloadEntryConditions(entry, group ?? null, context)];
      return endpointsWithoutClusterIps({ workloads, conditions: remarks }, (address) =>
        services.clusterIpOwner(address, read),
      );
    },
  });
}

/** Workloads of the endpoints that ServiceEntries write down. */
export function createServiceEntryEndpoints(
  graph: CollectionGraph,
  sources: Sources,
  contexts: Contexts,
  facts: DerivedCollection<NamespaceFacts>,
  services: ServiceCollections,
): DerivedCollection<DerivedWorkloads> {
  return graph.derive({
    name: 'service entry endpoints',
    from: sources.ServiceEntry,
    reads: [facts, ...contexts.collections, ...services.collections],
    compute: (document, read): DerivedWorkloads | undefined => {
      const ofNamespace = read.get(facts, document.metadata.namespace);
      if (ofNamespace === undefined) return undefined;
      const chosen = services.ofDocument(resourceText('ServiceEntry', document), read);
      const policiesOf = ofNamespace.policiesOf.bind(ofNamespace);
      const derived = serviceEntryWorkloads(document, contexts.contextFor(read), { chosen, policiesOf });
      return endpointsWithoutClusterIps(derived, (address) => services.clusterIpOwner(address, read));
    },
  });
}
