import { create, toBinary } from '@bufbuild/protobuf';
import { closedRoutes, joinedRoutes } from '../../envoy/stand-in-routes.ts';
import { VirtualHostSchema } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import { RouteConfigurationSchema } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import type { RouteConfiguration } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { shortHash } from '../resources/encoded-resource.ts';
import { resourceTypes } from './resource-types.ts';
import { messageOf, waypointResource } from './waypoint-resource.ts';
import type { WaypointResource } from './waypoint-resource.ts';

/** Between the version of the whole and that of its security. Neither has one. */
const separator = '.';
/** No security has this version. */
const nothingPasses = `${separator}closed`;

/** Routes, and policies and limits with them. The version says of these which they are: also of one that an Envoy comes back with. */
export function routesResource(routes: RouteConfiguration, origins: readonly string[]): WaypointResource {
  const security = [routes, ...routes.virtualHosts].map(({ typedPerFilterConfig }) =>
    toBinary(VirtualHostSchema, create(VirtualHostSchema, { typedPerFilterConfig })),
  );
  return marked(routes, origins, separator + shortHash(Buffer.concat(security)));
}

function marked(routes: RouteConfiguration, origins: readonly string[], mark: string): WaypointResource {
  return waypointResource(resourceTypes.routes, RouteConfigurationSchema, routes.name, routes, origins, mark);
}

/** null: the version is none of ours. */
function securityOf(version: string): string | null {
  const at = version.indexOf(separator);
  return at < 0 ? null : version.slice(at);
}

/** What is sent instead of routes that Envoy refuses, and what is then said of it. */
export interface StandIn {
  readonly resource: WaypointResource;
  readonly consequence: string;
}

/**
 * Where only routes are refused, what is in force stays. Where policies or limits have changed with them, these must not stay as they
 * were: they come into force with the routes that were taken last, and if Envoy refuses even that, nothing is let through.
 *
 * @param inForce version; undefined where nothing is, so that every request is answered 404
 * @param accepted routes that were taken last; null: nobody knows any
 * @returns what is to be tried, the first first
 */
export function standInsFor(
  refused: WaypointResource,
  inForce: string | undefined,
  accepted: WaypointResource | null,
): readonly StandIn[] {
  if (inForce === undefined || securityOf(inForce) === securityOf(refused.version)) return [];
  const wanted = messageOf(refused, RouteConfigurationSchema);
  const closed = {
    resource: marked(closedRoutes(wanted), refused.origins, nothingPasses),
    consequence: 'requests there are answered 503',
  };
  if (accepted === null) return [closed];
  const before = messageOf(accepted, RouteConfigurationSchema);
  const resource = routesResource(joinedRoutes(before, wanted), refused.origins);
  return [{ resource, consequence: 'its policies and limits are in force, with the routes of before' }, closed];
}
