import { create, toBinary } from '@bufbuild/protobuf';
import { VirtualHostSchema } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import { RouteConfigurationSchema } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import type { RouteConfiguration } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { resourceTypes } from './resource-types.ts';
import { securityMark } from './security-mark.ts';
import { waypointResource } from './waypoint-resource.ts';
import type { WaypointResource } from './waypoint-resource.ts';

/** Routes, and policies and limits with them. @param mark of another security than theirs */
export function routesResource(
  routes: RouteConfiguration,
  origins: readonly string[],
  mark = securityMark(securityOf(routes)),
): WaypointResource {
  return waypointResource(resourceTypes.routes, RouteConfigurationSchema, routes.name, routes, origins, mark);
}

/** At a waypoint of the virtual host, at a gateway of the whole. */
function securityOf(routes: RouteConfiguration): readonly Uint8Array[] {
  return [routes, ...routes.virtualHosts].map(({ typedPerFilterConfig }) =>
    toBinary(VirtualHostSchema, create(VirtualHostSchema, { typedPerFilterConfig })),
  );
}
