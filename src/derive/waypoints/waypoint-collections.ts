import type { PodDocument } from '../../config/manifests/schemas/pod.ts';
import { defaultMeshSettings } from '../../config/manifests/schemas/mesh-settings.ts';
import type { MeshSettings } from '../../model/workload.ts';
import type { Collection } from '../collections/collection.ts';
import type { CollectionGraph } from '../collections/collection-graph.ts';
import type { DerivedCollection } from '../collections/derived-collection.ts';
import { isReady, isRunning } from '../context.ts';
import { settingsKey } from '../sources.ts';
import type { Sources } from '../sources.ts';
import { gatewayNameLabel, waypointOf } from './waypoint.ts';
import type { Waypoint } from './waypoint.ts';

/** By `namespace/name` of the Gateway. */
export interface WaypointCollections {
  readonly waypoints: DerivedCollection<Waypoint>;
  /** Gateways with a pod that is ready. */
  readonly ready: DerivedCollection<true>;
}

export function createWaypoints(
  graph: CollectionGraph,
  sources: Sources,
  settings: Collection<MeshSettings>,
): WaypointCollections {
  return {
    waypoints: graph.derive({
      name: 'waypoints',
      from: sources.Gateway,
      reads: [sources.GatewayClass, settings],
      compute: (document, read): Waypoint | undefined => {
        const gatewayClass = read.get(sources.GatewayClass, document.spec.gatewayClassName) ?? null;
        const inForce = read.get(settings, settingsKey) ?? defaultMeshSettings;
        return waypointOf(document, gatewayClass, inForce) ?? undefined;
      },
    }),
    ready: graph.group<true>({
      name: 'ready waypoints',
      from: [sources.Pod.index((pod) => (isRunning(pod) && isReady(pod) ? gatewayOf(pod) : []))],
      compute: () => true,
    }),
  };
}

function gatewayOf({ metadata: { namespace, labels } }: PodDocument): readonly string[] {
  const name = labels[gatewayNameLabel];
  return name === undefined ? [] : [`${namespace}/${name}`];
}
