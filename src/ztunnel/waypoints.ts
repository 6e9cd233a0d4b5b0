import { parseAddress } from '../model/address.ts';
import type { Family } from '../model/address.ts';
import type { Service, WaypointReference, Workload } from '../model/workload.ts';
import type { Endpoint, SocketAddress } from '../native/binding.ts';
import { addressFor, endpointOf, identityOf, inScope, scopeSuffix } from './endpoint-selection.ts';
import type { EndpointSetDraft } from './endpoint-selection.ts';
import type { MeshView } from './mesh-view.ts';

/** The one port that tunnels go to. */
const TUNNEL_PORT = 15008;

/** What a reference leads to. */
interface Place {
  /** `namespace/hostname` or an address, as it was referred to. */
  readonly name: string;
  /** Null where a workload's own address is named. */
  readonly service: Service | null;
  readonly workloads: readonly Workload[];
  /** All of it is known; else there may be more. */
  readonly settled: boolean;
}

/** Where connections through a waypoint go; none where it has no pod that is ready. */
export function waypointEndpoints(
  view: MeshView,
  source: Workload,
  waypoint: WaypointReference,
  family: Family,
): EndpointSetDraft {
  const { name, service, workloads } = placeOf(view, waypoint);
  const candidates = workloads.flatMap((workload) => {
    const address = canTake(workload) && waypoint.port === TUNNEL_PORT ? addressFor(workload, family) : null;
    return address === null ? [] : [{ workload, address }];
  });
  const chosen = service === null ? candidates : inScope(candidates, source, service);
  const suffix = service === null ? '' : scopeSuffix(source, service);
  return {
    id: `waypoint/${name}/v${family}${suffix}`,
    endpoints: chosen.map(({ workload, address }) =>
      endpointOf(view, workload, { address, port: 0 }, service?.subjectAltNames ?? []),
    ),
  };
}

/** The same for one thing that is asked for. */
export function asking(endpoints: readonly Endpoint[], authority: SocketAddress): readonly Endpoint[] {
  return endpoints.map((endpoint) => ({ ...endpoint, authority }));
}

/** The workload is one of the waypoint's own: what it sends has been through it. */
export function isPodOf(view: MeshView, workload: Workload, waypoint: WaypointReference): boolean {
  if (waypoint.kind === 'hostname') return workload.services.has(`${waypoint.namespace}/${waypoint.hostname}`);
  return placeOf(view, waypoint).workloads.some(({ uid }) => uid === workload.uid);
}

/** Who the waypoint's pods are, ready or not: one that is ending still sends what it holds. */
export function identitiesOf(view: MeshView, waypoint: WaypointReference): readonly string[] {
  return placeOf(view, waypoint).workloads.map(identityOf);
}

/** False where the control plane has not said yet where the waypoint is: nothing may go past it then. */
export function isSettledWaypoint(view: MeshView, waypoint: WaypointReference): boolean {
  return placeOf(view, waypoint).settled;
}

export function isReadyWaypoint(view: MeshView, waypoint: WaypointReference): boolean {
  return placeOf(view, waypoint).workloads.some(canTake);
}

/** It is not ready, and says that it may then be left out. */
export function mayGoPast(view: MeshView, waypoint: WaypointReference): boolean {
  if (waypoint.whenUnready !== 'direct') return false;
  return isSettledWaypoint(view, waypoint) && !isReadyWaypoint(view, waypoint);
}

/**
 * The waypoints that stand before a workload: its own, and those of the services that it is an endpoint of; of these only
 * what is told.
 */
export function waypointsBefore(view: MeshView, workload: Workload): readonly WaypointReference[] {
  const told = [...workload.services.keys()].filter((key) => view.isServiceSettled(key));
  const ofServices = told.flatMap((key) => view.waypointOf(key) ?? []);
  return workload.waypoint === null ? ofServices : [workload.waypoint, ...ofServices];
}

function placeOf(view: MeshView, waypoint: WaypointReference): Place {
  if (waypoint.kind === 'hostname') return servicePlace(view, `${waypoint.namespace}/${waypoint.hostname}`);
  const address = parseAddress(waypoint.address);
  const elsewhere = waypoint.network !== view.settings().network;
  const nobody = { name: waypoint.address, service: null, workloads: [], settled: true };
  if (address === null || elsewhere) return nobody;
  // An address brings the endpoints of its service along.
  const settled = view.isSettled(address);
  const owner = view.ownerOf(address, '');
  if (owner?.workload) return { ...nobody, workloads: [owner.workload], settled };
  if (owner?.service) return { ...endpointsOf(view, `${owner.service.namespace}/${owner.service.hostname}`), settled };
  return { ...nobody, settled };
}

function servicePlace(view: MeshView, key: string): Place {
  return { ...endpointsOf(view, key), settled: view.isServiceSettled(key) };
}

function endpointsOf(view: MeshView, key: string): Omit<Place, 'settled'> {
  return { name: key, service: view.service(key), workloads: view.endpoints(key) };
}

function canTake({ status, protocol }: Workload): boolean {
  return status === 'healthy' && protocol === 'hbone';
}
