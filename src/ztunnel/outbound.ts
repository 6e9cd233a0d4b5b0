import { addressLength, parseAddress } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';
import type { Service, Workload } from '../model/workload.ts';
import type { AnswerMask, OutboundQuestion } from '../native/binding.ts';
import { serviceEndpoints, workloadEndpoint } from './endpoint-selection.ts';
import type { CandidateTrace, EndpointSetDraft } from './endpoint-selection.ts';
import type { MeshView } from './mesh-view.ts';
import { RecordingView } from './recording-view.ts';
import { mayJoinLocally } from './same-node.ts';

interface Target {
  readonly set: EndpointSetDraft;
  /** What the set's content stands on; a part of what the whole decision stands on. */
  readonly keys: readonly string[];
}

export type OutboundDenyReason =
  | 'unknown_source'
  | 'invalid_destination'
  | 'no_healthy_upstream'
  /** Where addresses are asked for one by one: nobody has said yet who has this one. */
  | 'unresolved_destination';

export type OutboundDecision = { readonly mask: AnswerMask } & (
  | { readonly action: 'passthrough'; readonly workload: Workload | null; readonly service: Service | null }
  | {
      readonly action: 'connect';
      readonly target: Target;
      readonly allowLocal: boolean;
      readonly service: Service | null;
    }
  | { readonly action: 'deny'; readonly reason: OutboundDenyReason; readonly service: Service | null }
);

/** Nothing of the question mattered but the pod. */
const WHOLE_POD: AnswerMask = { prefixLength: 0, anyPort: true, anyDestination: true };

/**
 * Where a pod's connection goes, in ztunnel's order as far as there are no waypoints: the pod must be known; an address is
 * a workload's before it is a service's; what nobody in the mesh answers to is left as it is. Of an address that is not
 * settled nothing is believed: what is passed through could be a pod's, and would reach it in clear text.
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
  if (source === null) return { action: 'deny', reason: 'unknown_source', service: null, mask: WHOLE_POD };
  const destination = parseAddress(question.destination);
  if (destination === null) {
    // Not a text that the engine writes; the family is unknown, so the answer is for every address of either.
    return { action: 'deny', reason: 'invalid_destination', service: null, mask: WHOLE_POD };
  }
  const whole = addressLength(destination.family);
  if (!view.isSettled(destination)) {
    const mask = { prefixLength: whole, anyPort: true, anyDestination: true };
    return { action: 'deny', reason: 'unresolved_destination', service: null, mask };
  }
  const owner = view.ownerOf(destination, source.namespace);
  if (owner?.workload) return toWorkload(view, source, owner.workload, destination);
  if (owner?.service) {
    return toService(view, source, owner.service, { address: destination, port: question.port, trace });
  }
  // That one address is nobody's says nothing of its neighbours, unless all addresses are known.
  const prefixLength = view.onDemand ? whole : view.holePrefixLength(destination);
  return {
    action: 'passthrough',
    workload: null,
    service: null,
    mask: { prefixLength, anyPort: true, anyDestination: true },
  };
}

function toWorkload(view: MeshView, source: Workload, workload: Workload, address: IpAddress): OutboundDecision {
  const mask = { prefixLength: addressLength(address.family), anyPort: true, anyDestination: true };
  if (workload.protocol === 'tcp') return { action: 'passthrough', workload, service: null, mask };
  const target = recordTarget(view, (part) => {
    // Read again through the part: the set stands on the workload, and must go when that changes.
    const current = part.workload(workload.uid) ?? workload;
    return workloadEndpoint(part, current, address);
  });
  return { action: 'connect', target, allowLocal: mayJoinLocally(view, source), service: null, mask };
}

interface Asked {
  readonly address: IpAddress;
  readonly port: number;
  readonly trace: CandidateTrace | null;
}

function toService(
  view: MeshView,
  source: Workload,
  service: Service,
  { address, port, trace }: Asked,
): OutboundDecision {
  const prefixLength = addressLength(address.family);
  if (service.loadBalancing.mode === 'passthrough') {
    const mask = { prefixLength, anyPort: true, anyDestination: true };
    return { action: 'passthrough', workload: null, service, mask };
  }
  const mask = { prefixLength, anyPort: false, anyDestination: true };
  const target = recordTarget(view, (part) => serviceEndpoints(part, source, service, port, address.family, trace));
  if (target.set.endpoints.length === 0) return { action: 'deny', reason: 'no_healthy_upstream', service, mask };
  return { action: 'connect', target, allowLocal: mayJoinLocally(view, source), service, mask };
}

function recordTarget(view: MeshView, select: (part: MeshView) => EndpointSetDraft): Target {
  const part = new RecordingView(view);
  const set = select(part);
  return { set, keys: part.readKeys() };
}
