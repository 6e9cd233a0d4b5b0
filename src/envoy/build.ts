import type { Cluster } from '../proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import type { ClusterLoadAssignment } from '../proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import type { FilterChain } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import type { Listener } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { RouteConfiguration } from '../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { buildClusters } from './clusters.ts';
import { buildEndpoints } from './endpoints.ts';
import { beyondLimits, withClosed } from './entrance-limits.ts';
import { entranceOf, workloadEntrances } from './entrances.ts';
import { buildFilterChains } from './filter-chains.ts';
import { buildListener } from './listener.ts';
import type { WaypointInput } from './model.ts';
import { buildRoutes } from './routes.ts';

/** All resources of one waypoint, each kind by its `name` (`clusterName` of endpoints). */
export interface EnvoyResources {
  readonly listeners: readonly Listener[];
  readonly filterChains: readonly FilterChain[];
  readonly clusters: readonly Cluster[];
  readonly endpoints: readonly ClusterLoadAssignment[];
  readonly routes: readonly RouteConfiguration[];
}

/** Pure: equal inputs give equal resources, whatever their order of making. */
export function buildWaypoint(input: WaypointInput): EnvoyResources {
  const entrances = [...input.services.map(entranceOf), ...workloadEntrances(input.workloads)];
  const listener = buildListener(withClosed(entrances, beyondLimits(entrances, null)));
  return {
    listeners: listener === null ? [] : [listener],
    filterChains: buildFilterChains(input),
    clusters: buildClusters(input),
    endpoints: buildEndpoints(input),
    routes: buildRoutes(input),
  };
}
