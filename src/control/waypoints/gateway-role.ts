import { isGatewayClass } from '../../derive/gateways/gateway-class.ts';
import { isWaypointClass } from '../../derive/waypoints/waypoint.ts';

/** What a Gateway stands for: a proxy before services of the mesh, or a door to it. */
export type GatewayRole = 'waypoint' | 'gateway';

/** Null for what somebody else looks after. @param controllerName of the class; null: there is no such class */
export function gatewayRole(className: string, controllerName: string | null): GatewayRole | null {
  if (isWaypointClass(className, controllerName)) return 'waypoint';
  return isGatewayClass(className, controllerName) ? 'gateway' : null;
}
