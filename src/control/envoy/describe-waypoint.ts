import { toJson } from '@bufbuild/protobuf';
import type { DescMessage, JsonValue } from '@bufbuild/protobuf';
import { envoyTypes } from '../../envoy/registry.ts';
import { ClusterSchema } from '../../proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import { FilterChainSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import { RouteConfigurationSchema } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { resourceTypes } from './resource-types.ts';
import { messageOf } from './waypoint-resource.ts';
import type { WaypointResource } from './waypoint-resource.ts';
import type { WaypointStore } from './waypoint-store.ts';

/** A resource as Envoy's own page has it, with the manifests that it was made of. */
export interface DescribedResource {
  readonly name: string;
  readonly version: string;
  readonly origins: readonly string[];
  readonly resource: JsonValue;
}

export type DescribedWaypoint = Readonly<Record<keyof typeof resourceTypes, readonly DescribedResource[]>>;

/** What the Envoys of a waypoint are told. @returns null where there is no such waypoint */
export function describeWaypoint(store: WaypointStore, waypoint: string): DescribedWaypoint | null {
  if (!store.waypoints.includes(waypoint)) return null;
  const all = (type: keyof typeof resourceTypes, schema: DescMessage): readonly DescribedResource[] =>
    store
      .all(waypoint, resourceTypes[type])
      .map((resource) => described(resource, schema))
      .sort((left, right) => (left.name < right.name ? -1 : 1));
  return {
    clusters: all('clusters', ClusterSchema),
    endpoints: all('endpoints', ClusterLoadAssignmentSchema),
    secrets: secretsOf(store, waypoint),
    listeners: all('listeners', ListenerSchema),
    filterChains: all('filterChains', FilterChainSchema),
    routes: all('routes', RouteConfigurationSchema),
  };
}

/** That there are some, and which: what is in them is for the proxy alone. */
function secretsOf(store: WaypointStore, waypoint: string): readonly DescribedResource[] {
  return store
    .all(waypoint, resourceTypes.secrets)
    .map(({ name, version, origins }) => ({ name, version, origins, resource: { name } }))
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

function described(told: WaypointResource, schema: DescMessage): DescribedResource {
  const { name, version, origins } = told;
  const resource = toJson(schema, messageOf(told, schema), { registry: envoyTypes, useProtoFieldName: true });
  return { name, version, origins, resource };
}
