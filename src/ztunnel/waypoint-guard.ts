import type { WaypointReference, Workload } from '../model/workload.ts';
import type { InboundQuestion } from '../native/binding.ts';
import type { MeshView } from './mesh-view.ts';
import { identitiesOf, isReadyWaypoint, isSettledWaypoint, waypointsBefore } from './waypoints.ts';

/** What a workload takes only through a waypoint, found once for many connections. */
export interface WaypointGuard {
  /** Ports of the workload; none where it takes connections from everybody. */
  readonly ports: 'all' | ReadonlySet<number>;
  /** SPIFFE ids of those that stand before it. */
  readonly peers: ReadonlySet<string>;
}

const open: WaypointGuard = { ports: new Set(), peers: new Set() };

/**
 * A workload's own waypoint guards all of its ports, that of a service those which the service leads to. Any waypoint that
 * stands before the workload is let in by each of them: which one a client goes through is what it asked for.
 */
export function guardOf(view: MeshView, workload: Workload): WaypointGuard {
  const ports = guardedPorts(view, workload);
  if (ports !== 'all' && ports.size === 0) return open;
  const peers = waypointsBefore(view, workload).flatMap((waypoint) => identitiesOf(view, waypoint));
  return { ports, peers: new Set(peers) };
}

/** Without an identity nobody has been anywhere. */
export function passes(
  { ports, peers }: WaypointGuard,
  { peer, port }: Pick<InboundQuestion, 'peer' | 'port'>,
): boolean {
  if (ports !== 'all' && !ports.has(port)) return true;
  return peer !== null && peers.has(peer);
}

function guardedPorts(view: MeshView, workload: Workload): WaypointGuard['ports'] {
  if (isInForce(view, workload.waypoint)) return 'all';
  // Which ports these are is for the services to say.
  if (workload.guardedByService && !areServicesSettled(view, workload)) return 'all';
  const ports = new Set<number>();
  for (const [key, targets] of workload.services) {
    if (!isInForce(view, view.waypointOf(key))) continue;
    for (const target of targets.values()) ports.add(target);
    for (const [port, target] of view.service(key)?.ports ?? []) if (!targets.has(port)) ports.add(target);
  }
  return ports;
}

/** Each of them, for all have to be asked for. */
function areServicesSettled(view: MeshView, { services }: Workload): boolean {
  return [...services.keys()].map((key) => view.isServiceSettled(key)).every((settled) => settled);
}

/** One that may be gone past while it is not ready guards nothing then. */
function isInForce(view: MeshView, waypoint: WaypointReference | null): boolean {
  if (waypoint?.required !== true) return false;
  if (waypoint.whenUnready === 'refuse' || !isSettledWaypoint(view, waypoint)) return true;
  return isReadyWaypoint(view, waypoint);
}
