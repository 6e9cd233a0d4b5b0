import { readinessPort } from '../../envoy/bootstrap.ts';
import { handoverPort, tunnelPort } from '../../derive/waypoints/waypoint.ts';

/** Ports of a gateway's pod that are not for its clients: readiness, tunnels, what the engine hands over, administration. */
export const reservedPorts: ReadonlySet<number> = new Set([readinessPort, tunnelPort, handoverPort, 15000]);
