import { addressLength } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';
import { isVisibleIn } from '../model/address-precedence.ts';
import { isOfTheNode } from '../model/special-address.ts';
import type { Workload } from '../model/workload.ts';
import { lengthOutsideControl } from './control-address.ts';
import type { MeshView } from './mesh-view.ts';
import { nodeLength, outboundPolicyOf } from './outbound-policy.ts';
import type { OutboundPolicy } from './outbound-policy.ts';
import { isPodOf, mayGoPast, waypointsBefore } from './waypoints.ts';

export type OutsideReason =
  /** Nobody in the mesh has the address, and `outboundTrafficPolicy` is REGISTRY_ONLY for the source. */
  | 'not_in_registry'
  /** The address is among those that `outboundTrafficPolicy` refuses, or one that waypoints and gateways never send to. */
  | 'refused_address'
  /** Only a waypoint may send there, and the source is none of its pods. */
  | 'waypoint_required';

/** Length of the block around the address that is refused as a whole, whoever has it; null: it is not refused. */
export function refusedBlock(view: MeshView, source: Workload, address: IpAddress): number | null {
  const policy = policyOf(view);
  return policy.refuses(address) ? Math.max(policy.prefixLength(address), outsideControl(source, address)) : null;
}

/** Length of the block around an address that nobody has in which nothing else can be decided. */
export function nobodysBlock(view: MeshView, source: Workload, address: IpAddress): number {
  // That one address is nobody's says nothing of its neighbours, unless all addresses are known.
  if (view.onDemand) return addressLength(address.family);
  const special = runsProxy(source) ? nodeLength(address) : 0;
  const lengths = [view.holePrefixLength(address), policyOf(view).prefixLength(address), special];
  return Math.max(...lengths, outsideControl(source, address));
}

/**
 * Why an address that nobody has is not for the source; null: it is. What a waypoint sends to, its control plane has told it, and that
 * names only what is registered; but names that its proxy looks up may lead anywhere, such as to who takes it for the node. A gateway
 * goes where the pods of its namespace may: whoever may write a pod says by that alone that it is one.
 */
export function whyNotOutside(view: MeshView, source: Workload, address: IpAddress): OutsideReason | null {
  const policy = policyOf(view);
  if (policy.allows(address)) return null;
  if (runsProxy(source) && isOfTheNode(address)) return 'refused_address';
  if (isWaypoint(source)) return null;
  return policy.isRegistryOnly(source.namespace) ? 'not_in_registry' : null;
}

/**
 * Whoever may write a place of traffic that is no pod chooses its address, which may be anybody's on the internet: to the waypoint
 * that he has for it he leads his own namespace, and nobody else.
 */
export function leadsThroughWaypoint(source: Workload, { podUid, namespace }: Workload): boolean {
  return podUid !== null || namespace === source.namespace;
}

/** Why a workload is not to be reached by its own address; null: it is. */
export function whyNotStraight(
  view: MeshView,
  source: Workload,
  workload: Workload,
  address: IpAddress,
): OutsideReason | null {
  if (!isOutside(workload)) return null;
  const reason = whyNotInClear(view, source, workload, address);
  if (reason !== null || isWaypoint(source)) return reason;
  const isStrict = policyOf(view).isRegistryOnly(source.namespace) && !isOurs(view, source, workload);
  return isStrict && !isRegistered(view, source, workload) ? 'not_in_registry' : null;
}

/**
 * Why nothing of the source may go to an address outside of the mesh by itself; null: it may. There is no node proxy that could ask who
 * comes, so the source's has to: what shall be reached through the waypoint of its service is not reached past it, by whichever other
 * name somebody has written down for the address. And nobody who chooses endpoints leads a waypoint or gateway to whoever takes it for the
 * node.
 *
 * @param workload by which the address was found; null: by none
 */
export function whyNotInClear(
  view: MeshView,
  source: Workload,
  workload: Workload | null,
  address: IpAddress,
): OutsideReason | null {
  const policy = policyOf(view);
  if (runsProxy(source) && isOfTheNode(address) && !policy.allows(address)) return 'refused_address';
  if (isWaypoint(source)) return null;
  const registryOnly = policy.isRegistryOnly(source.namespace);
  const others = view.workloadsAt(address).filter((other) => isOutside(other) && isOurs(view, source, other));
  const there = workload === null ? others : [workload, ...others.filter(({ uid }) => uid !== workload.uid)];
  const before = there.map((place) => ({
    ours: isOurs(view, source, place),
    waypoints: waypointsBefore(view, place),
  }));
  const guards = before.flatMap(({ ours, waypoints }) =>
    waypoints.filter((waypoint) => (registryOnly || (waypoint.required && ours)) && !mayGoPast(view, waypoint)),
  );
  const through = before.flatMap(({ waypoints }) => waypoints);
  return guards.length > 0 && !through.some((waypoint) => isPodOf(view, source, waypoint)) ? 'waypoint_required' : null;
}

/** Nothing of the mesh is there that could ask who comes. */
function isOutside({ podUid, protocol }: Workload): boolean {
  return podUid === null && protocol !== 'hbone';
}

/** Written where the source is, or where the mesh's own documents are: nobody else's word closes an address. */
function isOurs(view: MeshView, source: Workload, { namespace }: Workload): boolean {
  return namespace === source.namespace || namespace === view.settings().rootNamespace;
}

/** By a service that the source sees. */
function isRegistered(view: MeshView, { namespace }: Workload, { services }: Workload): boolean {
  return [...services.keys()].some((key) => {
    const service = view.service(key);
    return service !== null && isVisibleIn(service, namespace);
  });
}

function isWaypoint({ applicationTunnel }: Workload): boolean {
  return applicationTunnel !== null && applicationTunnel.gateway !== true;
}

/** A waypoint or a gateway. */
function runsProxy({ applicationTunnel }: Workload): boolean {
  return applicationTunnel !== null;
}

/** The control plane's address is nobody's, too. */
function outsideControl(source: Workload, address: IpAddress): number {
  return runsProxy(source) ? lengthOutsideControl(address) : 0;
}

function policyOf(view: MeshView): OutboundPolicy {
  return outboundPolicyOf(view.settings());
}
