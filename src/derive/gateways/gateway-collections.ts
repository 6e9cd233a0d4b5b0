import type { CollectionGraph } from '../collections/collection-graph.ts';
import type { DerivedCollection } from '../collections/derived-collection.ts';
import type { Sources } from '../sources.ts';
import { isGatewayClass } from './gateway-class.ts';

/** Gateways that are doors of the mesh, by `namespace/name`. */
export function createGateways(graph: CollectionGraph, sources: Sources): DerivedCollection<true> {
  return graph.derive({
    name: 'gateways',
    from: sources.Gateway,
    reads: [sources.GatewayClass],
    compute: ({ spec }, read): true | undefined => {
      const found = read.get(sources.GatewayClass, spec.gatewayClassName);
      return isGatewayClass(spec.gatewayClassName, found?.spec.controllerName ?? null) || undefined;
    },
  });
}
