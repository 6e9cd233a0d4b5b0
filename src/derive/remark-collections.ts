import type { Condition } from '../model/workload.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { DerivedCollection } from './collections/derived-collection.ts';
import type { Conditions } from './conflict-collections.ts';
import type { Sources } from './sources.ts';
import { namespaceConditions, unsupportedConditions, unsupportedGroup } from './unsupported.ts';
import { gatewayConditions } from './waypoints/waypoint.ts';
import { workloadGroupConditions } from './workload-entries.ts';

/** What is said of documents that nothing is made of. */
export function createRemarks(graph: CollectionGraph, sources: Sources): readonly DerivedCollection<Conditions>[] {
  const unsupported = sources.UnsupportedKind.index((document) => [unsupportedGroup(document)]);
  return [
    graph.derive({
      name: 'namespace conditions',
      from: sources.Namespace,
      compute: (document) => remarks(namespaceConditions(document)),
    }),
    graph.derive({
      name: 'gateway conditions',
      from: sources.Gateway,
      reads: [sources.GatewayClass],
      compute: (document, read) => {
        const gatewayClass = read.get(sources.GatewayClass, document.spec.gatewayClassName) ?? null;
        return remarks(gatewayConditions(document, gatewayClass));
      },
    }),
    graph.derive({
      name: 'workload group conditions',
      from: sources.WorkloadGroup,
      compute: (document) => remarks(workloadGroupConditions(document)),
    }),
    graph.group({
      name: 'unsupported kinds',
      from: [unsupported],
      reads: [sources.UnsupportedKind],
      compute: (group, read) => remarks(unsupportedConditions(read.byIndex(unsupported, group))),
    }),
  ];
}

function remarks(conditions: readonly Condition[]): Conditions | undefined {
  return conditions.length === 0 ? undefined : { conditions };
}
