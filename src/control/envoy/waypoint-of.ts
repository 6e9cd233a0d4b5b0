import { status } from '@grpc/grpc-js';
import { formatSpiffeId } from '../../model/identity.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { Caller } from '../caller.ts';
import type { DiscoveryRequest } from '../discovery/request.ts';
import { GrpcError } from '../grpc-error.ts';
import { isResourceType } from './resource-types.ts';
import type { WaypointStore } from './waypoint-store.ts';

/**
 * The waypoint whose proxy calls: one of those that its identity runs, and of several the one that it names as its cluster. What it
 * says of itself never gives it another one.
 *
 * @returns null for an agent
 * @throws GrpcError `PERMISSION_DENIED`
 */
export function waypointOf(
  caller: Caller,
  { node, typeUrl }: Pick<DiscoveryRequest, 'node' | 'typeUrl'>,
  store: WaypointStore,
): string | null {
  const named = node?.cluster ?? '';
  switch (caller.kind) {
    case 'node':
      return null;
    case 'local':
      return isResourceType(typeUrl) && named !== '' ? named : null;
    case 'workload':
      return chosen(caller.identity, named, store);
  }
}

/** @returns the waypoints that it runs, at least one. @throws GrpcError `PERMISSION_DENIED` */
export function checkRunsWaypoint(identity: SpiffeId, store: WaypointStore): readonly string[] {
  const spiffeId = formatSpiffeId(identity);
  const run = store.runBy(spiffeId);
  if (run.length > 0) return run;
  throw new GrpcError(
    status.PERMISSION_DENIED,
    `resources are for agents, waypoints and gateways, and ${spiffeId} runs no waypoint and no gateway`,
  );
}

function chosen(identity: SpiffeId, named: string, store: WaypointStore): string {
  const run = checkRunsWaypoint(identity, store);
  const [only = ''] = run;
  if (run.includes(named)) return named;
  if (run.length === 1) return only;
  throw new GrpcError(
    status.PERMISSION_DENIED,
    `${formatSpiffeId(identity)} runs ${run.join(', ')}: the client has to name one of them as its cluster`,
  );
}
