import { tunnelPort } from '../../derive/waypoints/waypoint.ts';
import type { ReportedCondition } from '../gateway-report.ts';
import type { GatewayObject } from './gateway-object.ts';
import type { GatewayOutcome, SaidOfGateway } from './gateway-status.ts';
import { conditionsOfGateway } from './say-conditions.ts';

/** Pure: of a waypoint, which has one listener. */
export function sayOfWaypoint({ spec, status }: GatewayObject, outcome: GatewayOutcome): SaidOfGateway {
  return {
    conditions: conditionsOfGateway(outcome, []),
    listeners: spec.listeners.map((listener) => ({
      name: listener.name,
      // Routes of a mesh belong to Services; those of the waypoint itself are for whoever it stands before.
      supportedKinds: routeKinds.map((kind) => ({ group: 'gateway.networking.k8s.io', kind })),
      attachedRoutes: status.listeners.find(({ name }) => name === listener.name)?.attachedRoutes ?? 0,
      conditions: listenerConditions(listener, outcome),
    })),
  };
}

const routeKinds = ['HTTPRoute', 'GRPCRoute', 'TCPRoute', 'TLSRoute'];

function listenerConditions(
  { port, protocol }: GatewayObject['spec']['listeners'][number],
  { serves }: GatewayOutcome,
): readonly ReportedCondition[] {
  const known = port === tunnelPort && protocol === 'HBONE';
  const accepted: ReportedCondition = known
    ? { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'takes what comes through the mesh' }
    : {
        type: 'Accepted',
        status: 'False',
        reason: 'UnsupportedProtocol',
        message: `a waypoint has one listener, of protocol HBONE on port ${tunnelPort}: this one takes nothing`,
      };
  const programmed = known && serves;
  return [
    accepted,
    { type: 'Conflicted', status: 'False', reason: 'NoConflicts', message: 'no other listener is in its way' },
    { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: 'it refers to nothing else' },
    {
      type: 'Programmed',
      status: programmed ? 'True' : 'False',
      reason: programmed ? 'Programmed' : known ? 'Pending' : 'Invalid',
      message: programmed ? 'a pod takes connections' : 'no pod takes connections',
    },
  ];
}
