import type { EndpointSliceDocument } from '../config/manifests/schemas/endpoint-slice.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { DerivedCollection } from './collections/derived-collection.ts';
import type { Contexts } from './contexts.ts';
import { endpointSliceWorkloads, podsInSlice, sliceServiceName } from './endpoint-slices.ts';
import type { DerivedWorkloads } from './service-entry-endpoints.ts';
import type { ServiceCollections } from './service-collections.ts';
import type { ServiceSource } from './service-sources.ts';
import type { Sources } from './sources.ts';

/** A slice that somebody wrote by hand. */
export interface HandWrittenSlice {
  readonly slice: EndpointSliceDocument;
  /** The one that it is for; null: that is not in force. */
  readonly service: ServiceSource | null;
  /** `namespace/name` of the pods that it names. */
  readonly pods: readonly string[];
}

export function createEndpointSlices(
  graph: CollectionGraph,
  sources: Sources,
  services: ServiceCollections,
): DerivedCollection<HandWrittenSlice> {
  return graph.derive({
    name: 'endpoint slices',
    from: sources.EndpointSlice,
    reads: services.collections,
    compute: (slice, read): HandWrittenSlice | undefined => {
      const name = sliceServiceName(slice);
      if (name === null) return undefined;
      return { slice, service: services.kubernetesService(name, read), pods: podsInSlice(slice) };
    },
  });
}

/** Workloads of the endpoints that are no pods. */
export function createEndpointSliceWorkloads(
  graph: CollectionGraph,
  contexts: Contexts,
  slices: DerivedCollection<HandWrittenSlice>,
): DerivedCollection<DerivedWorkloads> {
  return graph.derive({
    name: 'endpoint slice workloads',
    from: slices,
    reads: contexts.collections,
    compute: ({ slice, service }, read): DerivedWorkloads =>
      endpointSliceWorkloads(slice, service, contexts.contextFor(read)),
  });
}
