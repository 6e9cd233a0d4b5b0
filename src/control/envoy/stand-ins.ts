import { closedChain } from '../../envoy/closed-chain.ts';
import { withClosedGates } from '../../envoy/gated-listener.ts';
import { withKnownChains } from '../../envoy/gateways/stand-in-listener.ts';
import { closedRoutes, joinedRoutes } from '../../envoy/stand-in-routes.ts';
import { FilterChainSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { Listener } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import { RouteConfigurationSchema } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { chainResource } from './chain-resource.ts';
import { gatewayListener } from './gateways/gateway-listener.ts';
import { listenerResource } from './listener-resource.ts';
import { resourceTypes } from './resource-types.ts';
import { routesResource } from './routes-resource.ts';
import { closedMark, markIn } from './security-mark.ts';
import { messageOf } from './waypoint-resource.ts';
import type { WaypointResource } from './waypoint-resource.ts';

/** What is sent instead of what Envoy refuses, and what is then said of it. */
export interface StandIn {
  readonly resource: WaypointResource;
  readonly consequence: string;
}

/**
 * Where what is refused asks the same of those who come as what is in force, that stays. Where policies or limits have changed with it,
 * these must not stay as they were: what can be sent without what is refused is, and if Envoy refuses even that, nothing is let through.
 *
 * @param inForce version; undefined where nothing is, so that nothing is let through
 * @param accepted the same as it was taken last, of routes and of listeners; null: nobody knows any
 * @returns what is to be tried, the first first
 */
export function standInsFor(
  refused: WaypointResource,
  inForce: string | undefined,
  accepted: WaypointResource | null,
): readonly StandIn[] {
  if (inForce === undefined || markIn(inForce) === markIn(refused.version)) return [];
  switch (refused.type) {
    case resourceTypes.routes:
      return instead(refused, accepted);
    case resourceTypes.filterChains: {
      const { name } = messageOf(refused, FilterChainSchema);
      const resource = chainResource(closedChain(name), refused.origins, closedMark);
      return [{ resource, consequence: 'connections there are closed' }];
    }
    case resourceTypes.listeners: {
      const wanted = messageOf(refused, ListenerSchema);
      // A waypoint's asks for its chains one by one.
      if (wanted.fcdsConfig === undefined) return ofGateway(refused, wanted, accepted);
      const resource = listenerResource(withClosedGates(wanted), refused.origins, closedMark);
      return [
        { resource, consequence: 'connections that are no requests are refused wherever policies ask who comes' },
      ];
    }
    default:
      return [];
  }
}

/** On one port of a gateway are many who know nothing of each other. */
function ofGateway(refused: WaypointResource, wanted: Listener, accepted: WaypointResource | null): readonly StandIn[] {
  const before = accepted === null ? null : messageOf(accepted, ListenerSchema);
  const resource = gatewayListener(withKnownChains(wanted, before), refused.origins, closedMark);
  return [{ resource, consequence: 'what has changed of its servers is closed, and what has not is as it was' }];
}

/** Policies and limits come into force with the routes that were taken last. */
function instead(refused: WaypointResource, accepted: WaypointResource | null): readonly StandIn[] {
  const wanted = messageOf(refused, RouteConfigurationSchema);
  const closed = {
    resource: routesResource(closedRoutes(wanted), refused.origins, closedMark),
    consequence: 'requests there are answered 503',
  };
  if (accepted === null) return [closed];
  const before = messageOf(accepted, RouteConfigurationSchema);
  const resource = routesResource(joinedRoutes(before, wanted), refused.origins);
  return [{ resource, consequence: 'its policies and limits are in force, with the routes of before' }, closed];
}
