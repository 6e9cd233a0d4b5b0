import { addressLength, parseAddress } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';
import { isControlAddress } from '../model/automatic-address.ts';
import type { Service, WaypointReference, Workload } from '../model/workload.ts';
import type { AnswerMask, OutboundQuestion, Relay, SocketAddress } from '../native/binding.ts';
import { CONTROL_PORT } from './control-address.ts';
import { serviceEndpoints, workloadEndpoint } from './endpoint-selection.ts';
import type { CandidateTrace, EndpointSetDraft, ServiceEndpoints } from './endpoint-selection.ts';
import type { MeshView } from './mesh-view.ts';
import {
  leadsThroughWaypoint,
  nobodysBlock,
  refusedBlock,
  whyNotInClear,
  whyNotOutside,
  whyNotStraight,
} from './outside.ts';
import type { OutsideReason } from './outside.ts';
import { RecordingView } from './recording-view.ts';
import { mayJoinLocally } from './same-node.ts';
import { hasToGoThrough, throughWaypoints } from './through-waypoints.ts';
import type { WaysDraft } from './through-waypoints.ts';
import { isPodOf, isSettledWaypoint, waypointEndpoints } from './waypoints.ts';

interface Target {
  readonly set: EndpointSetDraft;
  /** What the set's content stands on; a part of what the whole decision stands on. */
  readonly keys: readonly string[];
}

export type OutboundDenyReason =
  | 'unknown_source'
  | 'invalid_destination'
  | 'no_healthy_upstream'
  /** What was asked for has a waypoint, and that has no pod that is ready. */
  | 'waypoint_not_ready'
  /** A waypoint or gateway asks for its control plane, and this node does not know one for it. */
  | 'no_control_plane'
  /** Where addresses are asked for one by one: nobody has said yet who has this one. */
  | 'unresolved_destination'
  /** Likewise: nobody has said yet where the waypoint of what was asked for is. */
  | 'unresolved_waypoint'
  /** Nobody knows what the names of the endpoints lead to, or what they lead to is not for pods. */
  | 'unresolved_name'
  | OutsideReason;

export type OutboundDecision = { readonly mask: AnswerMask } & (
  | { readonly action: 'passthrough'; readonly workload: Workload | null; readonly service: Service | null }
  | {
      readonly action: 'connect';
      readonly target: Target;
      readonly allowLocal: boolean;
      readonly service: Service | null;
      /** What a waypoint is asked for; null where the endpoints are what was asked for, or say it themselves. */
      readonly authority: SocketAddress | null;
    }
  | { readonly action: 'relay'; readonly relay: Relay; readonly service: null }
  | { readonly action: 'deny'; readonly reason: OutboundDenyReason; readonly service: Service | null }
);

/** Nothing of the question mattered but the pod. */
const WHOLE_POD: AnswerMask = { prefixLength: 0, anyPort: true, anyDestination: true };

interface Asked {
  readonly address: IpAddress;
  readonly port: number;
  readonly trace: CandidateTrace | null;
}

/**
 * Where a pod's connection goes, in ztunnel's order: the pod must be known; an address is a workload's before it is a
 * service's; a waypoint comes before what it stands before; what nobody in the mesh answers to is left as it is. Of an
 * address that is not settled nothing is believed: what is passed through could be a pod's, and would reach it in clear text.
 *
 * @param trace told of every endpoint that was looked at; for explaining, never on the way of a flow
 */
export function decideOutbound(
  view: MeshView,
  question: OutboundQuestion,
  trace: CandidateTrace | null = null,
): OutboundDecision {
  const pod = view.localPod(question.pod);
  const source = pod === null ? null : view.workload(pod.workload);
  if (source === null) return deny('unknown_source', WHOLE_POD);
  const address = parseAddress(question.destination);
  if (address === null) {
    // Not a text that the engine writes; the family is unknown, so the answer is for every address of either.
    return deny('invalid_destination', WHOLE_POD);
  }
  const asked: Asked = { address, port: question.port, trace };
  if (isControl(source, asked)) return toControl(view, asked);
  const refused = refusedBlock(view, source, address);
  if (refused !== null) return deny('refused_address', blockMask(refused));
  if (!view.isSettled(address)) return deny('unresolved_destination', maskOf(asked, 'any port'));
  const owner = view.ownerOf(address, source.namespace);
  if (owner?.workload) return toWorkload(view, source, owner.workload, asked);
  if (owner?.service) return toService(view, source, owner.service, asked);
  const mask = blockMask(nobodysBlock(view, source, address));
  const reason = whyNotOutside(view, source, address);
  return reason === null ? { action: 'passthrough', workload: null, service: null, mask } : deny(reason, mask);
}

/** To anybody else the address is one like others. */
function isControl({ applicationTunnel }: Workload, { address, port }: Asked): boolean {
  return applicationTunnel !== null && port === CONTROL_PORT && isControlAddress(address);
}

function toControl(view: MeshView, asked: Asked): OutboundDecision {
  const relay = view.control();
  const mask = maskOf(asked, 'this port');
  if (relay === null) return deny('no_control_plane', mask);
  return { action: 'relay', relay, service: null, mask };
}

function toWorkload(view: MeshView, source: Workload, workload: Workload, asked: Asked): OutboundDecision {
  const waypoint = leadsThroughWaypoint(source, workload) ? workload.waypoint : null;
  const through = waypoint !== null && hasToGoThrough(view, source, workload);
  return (through ? byWaypoint(view, source, waypoint, null, asked) : null) ?? straight(view, source, workload, asked);
}

function straight(view: MeshView, source: Workload, workload: Workload, asked: Asked): OutboundDecision {
  const mask = maskOf(asked, 'any port');
  const reason = whyNotStraight(view, source, workload, asked.address);
  if (reason !== null) return deny(reason, mask);
  if (workload.protocol === 'tcp') return { action: 'passthrough', workload, service: null, mask };
  const target = recordTarget(view, (part) => {
    // Read again through the part: the set stands on the workload, and must go when that changes.
    const current = part.workload(workload.uid) ?? workload;
    return workloadEndpoint(part, current, asked.address);
  });
  return connect(view, source, target, { service: null, authority: null, mask });
}

function toService(view: MeshView, source: Workload, service: Service, asked: Asked): OutboundDecision {
  const { waypoint } = service;
  const through = waypoint !== null && !isPodOf(view, source, waypoint);
  return (
    (through ? byWaypoint(view, source, waypoint, service, asked) : null) ?? toEndpoints(view, source, service, asked)
  );
}

function toEndpoints(view: MeshView, source: Workload, service: Service, asked: Asked): OutboundDecision {
  if (service.loadBalancing.mode === 'passthrough') return asItIs(view, source, service, asked);
  const { family } = asked.address;
  const mask = maskOf(asked, 'this port');
  let found: ServiceEndpoints | null = null;
  let ways: WaysDraft | null = null;
  const target = recordTarget(view, (part) => {
    found = serviceEndpoints(part, source, service, asked.port, family, asked.trace);
    return (ways = throughWaypoints(part, source, found, family));
  });
  if (target.set.endpoints.length > 0) return connect(view, source, target, { service, authority: null, mask });
  return { action: 'deny', reason: whyNoEndpoint(found, ways), service, mask };
}

/** To the very address. */
function asItIs(view: MeshView, source: Workload, service: Service, asked: Asked): OutboundDecision {
  const mask = maskOf(asked, 'any port');
  const reason = whyNotInClear(view, source, null, asked.address);
  if (reason !== null) return { action: 'deny', reason, service, mask };
  return { action: 'passthrough', workload: null, service, mask };
}

function whyNoEndpoint(found: ServiceEndpoints | null, ways: WaysDraft | null): OutboundDenyReason {
  if (ways !== null && ways.refused !== null) return ways.refused;
  if (found !== null && found.endpoints.length > 0) return 'waypoint_not_ready';
  return found?.unresolved === true ? 'unresolved_name' : 'no_healthy_upstream';
}

/** Null where the waypoint is not ready, and may then be gone past. */
function byWaypoint(
  view: MeshView,
  source: Workload,
  waypoint: WaypointReference,
  service: Service | null,
  asked: Asked,
): OutboundDecision | null {
  const { address, port } = asked;
  // The port is what the waypoint is asked for, so each has an answer of its own.
  const mask = maskOf(asked, 'this port');
  if (!isSettledWaypoint(view, waypoint)) return { action: 'deny', reason: 'unresolved_waypoint', service, mask };
  const target = recordTarget(view, (part) => waypointEndpoints(part, source, waypoint, address.family));
  if (target.set.endpoints.length > 0) {
    return connect(view, source, target, { service, authority: { address: address.text, port }, mask });
  }
  return waypoint.whenUnready === 'direct' ? null : { action: 'deny', reason: 'waypoint_not_ready', service, mask };
}

type Connect = Extract<OutboundDecision, { action: 'connect' }>;

function connect(
  view: MeshView,
  source: Workload,
  target: Target,
  rest: Pick<Connect, 'service' | 'authority' | 'mask'>,
): Connect {
  return { action: 'connect', target, allowLocal: mayJoinLocally(view, source), ...rest };
}

function deny(reason: OutboundDenyReason, mask: AnswerMask): OutboundDecision {
  return { action: 'deny', reason, service: null, mask };
}

function blockMask(prefixLength: number): AnswerMask {
  return { prefixLength, anyPort: true, anyDestination: true };
}

function maskOf({ address }: Asked, ports: 'any port' | 'this port'): AnswerMask {
  return { prefixLength: addressLength(address.family), anyPort: ports === 'any port', anyDestination: true };
}

function recordTarget(view: MeshView, select: (part: MeshView) => EndpointSetDraft): Target {
  const part = new RecordingView(view);
  const set = select(part);
  return { set, keys: part.readKeys() };
}
