import { addressLength, commonPrefixLength, parseAddress } from '../model/address.ts';
import type { Cidr, IpAddress } from '../model/address.ts';
import { authorize } from '../model/authorization.ts';
import type { AuthorizationResult, CompiledPolicy, DenyReason } from '../model/authorization.ts';
import { parseSpiffeId } from '../model/identity.ts';
import type { SpiffeId } from '../model/identity.ts';
import type { Workload } from '../model/workload.ts';
import type { AnswerMask, InboundQuestion } from '../native/binding.ts';
import { identityOf } from './endpoint-selection.ts';
import type { MeshView } from './mesh-view.ts';
import { guardOf, passes } from './waypoint-guard.ts';
import type { WaypointGuard } from './waypoint-guard.ts';
import { isPodOf } from './waypoints.ts';

export type InboundDenyReason =
  | DenyReason
  | 'unknown_destination'
  | 'invalid_address'
  | 'invalid_peer'
  /** It takes only what has come through a waypoint that stands before it. */
  | 'not_through_waypoint'
  /** The pod is a waypoint or gateway, and not the waypoint of what was asked for. */
  | 'not_this_waypoint'
  /** The pod is a waypoint, and addresses are asked for one by one: nobody has said yet who has this one. */
  | 'unresolved_destination';

export interface InboundDecision {
  readonly allowed: boolean;
  readonly policy: string | null;
  readonly reason: InboundDenyReason | null;
  readonly sourceWorkload: Workload | null;
  /** `namespace/hostname`. */
  readonly service: string | null;
  readonly mask: AnswerMask;
  readonly dryRunMatches: readonly string[];
  /** Whether it were allowed if the dry-run policies counted; null where there are none. */
  readonly dryRunAllowed: boolean | null;
  /** Loopback port of the pod's proxy that gets the connection; null: it goes to what was asked for. */
  readonly handover: number | null;
}

const WHOLE_POD: AnswerMask = { prefixLength: 0, anyPort: true, anyDestination: true };

/** What decides who may reach a pod, found once for many connections. */
export interface PodPolicies {
  readonly workload: Workload;
  readonly policies: readonly CompiledPolicy[];
  /** Keys that the workload names and nobody has said yet what they mean: they deny. */
  readonly unknown: readonly string[];
  readonly guard: WaypointGuard;
}

/** A connection whose texts are parsed. */
interface ParsedQuestion {
  readonly peer: SpiffeId | null;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly port: number;
}

/** Whether a connection may reach a pod of this node: the destination decides, by what it verified itself. */
export function decideInbound(view: MeshView, question: InboundQuestion): InboundDecision {
  const policies = policiesOfPod(view, question.pod);
  if (policies === null) return denied('unknown_destination');
  const connection = parseQuestion(question);
  if (typeof connection === 'string') return denied(connection);
  const { workload } = policies;
  if (isForeign(workload, connection)) return decideHandover(view, policies, question, connection);
  if (!passes(policies.guard, question)) return notThrough(policies.guard);
  const result = authorize(policies.policies, connection, policies.unknown);
  return {
    allowed: result.decision.allowed,
    policy: result.decision.policy,
    reason: result.decision.allowed ? null : result.decision.reason,
    sourceWorkload: sourceWorkload(view, connection.source, question.peer),
    service: serviceAt(view, workload, question.port),
    mask: maskOf(view, workload, connection, result),
    dryRunMatches: result.dryRunMatches,
    dryRunAllowed: result.dryRunAllowed,
    handover: null,
  };
}

/** Only a waypoint, or a gateway, is asked for addresses that are not its own, and only through a tunnel. */
function isForeign({ applicationTunnel, addresses }: Workload, { destination }: ParsedQuestion): boolean {
  return applicationTunnel !== null && !addresses.includes(destination.text);
}

/** What comes to a waypoint for others: its proxy gets it if the waypoint stands before them. A gateway stands before nobody. */
function decideHandover(
  view: MeshView,
  { workload, policies, unknown }: PodPolicies,
  question: InboundQuestion,
  connection: ParsedQuestion,
): InboundDecision {
  const { peer, source, destination } = connection;
  if (peer === null) return { ...denied('invalid_peer'), mask: { ...WHOLE_POD, anyDestination: false } };
  const before = standsBefore(view, workload, destination, peer.namespace);
  const result = authorize(policies, connection, unknown);
  const common = {
    sourceWorkload: sourceWorkload(view, source, question.peer),
    service: before.service,
    // Services have ports of their own, so which ones the waypoint's pod offers does not matter.
    mask: maskOf(view, { ...workload, services: new Map() }, connection, result),
    dryRunMatches: result.dryRunMatches,
    dryRunAllowed: result.dryRunAllowed,
  };
  const refused = { ...common, allowed: false, handover: null } as const;
  const { decision } = result;
  // First, for what nobody may have is not asked for.
  if (!decision.allowed) return { ...refused, policy: decision.policy, reason: decision.reason };
  if (!view.isSettled(destination)) return { ...refused, policy: null, reason: 'unresolved_destination' };
  if (!before.bound) return { ...refused, policy: null, reason: 'not_this_waypoint' };
  const handover = workload.applicationTunnel?.port ?? null;
  return { ...common, allowed: true, policy: decision.policy, reason: null, handover };
}

/** As the client sees the address: of several services that have it, that of its own namespace. */
function standsBefore(
  view: MeshView,
  workload: Workload,
  destination: IpAddress,
  namespace: string,
): { readonly bound: boolean; readonly service: string | null } {
  const owner = view.ownerOf(destination, namespace);
  const service = owner?.workload ? null : (owner?.service ?? null);
  const waypoint = (owner?.workload ?? service)?.waypoint ?? null;
  return {
    bound: waypoint !== null && isPodOf(view, workload, waypoint),
    service: service === null ? null : `${service.namespace}/${service.hostname}`,
  };
}

/** Decided by who the peer is and at which port, so addresses do not matter. */
function notThrough({ ports }: WaypointGuard): InboundDecision {
  return { ...denied('not_through_waypoint'), mask: { ...WHOLE_POD, anyPort: ports === 'all' } };
}

/**
 * Policies of the mesh, of the namespace, and those that the workload names. Null where the pod or its workload is not
 * known, which denies.
 */
export function policiesOfPod(view: MeshView, uid: string): PodPolicies | null {
  const pod = view.localPod(uid);
  const workload = pod === null ? null : view.workload(pod.workload);
  if (workload === null) return null;
  const policies: CompiledPolicy[] = [
    ...view.globalPolicies(),
    ...(workload.namespace === '' ? [] : view.namespacePolicies(workload.namespace)),
  ];
  const unknown: string[] = [];
  for (const key of workload.authorizationPolicies) {
    const policy = view.policy(key);
    if (policy === null) unknown.push(key);
    else policies.push(policy);
  }
  return { workload, policies, unknown, guard: guardOf(view, workload) };
}

/** Whether the pod's workload names a policy that is not known: what comes to it is denied until it is. */
export function awaitsPolicies(view: MeshView, uid: string): boolean {
  const pod = view.localPod(uid);
  const workload = pod === null ? null : view.workload(pod.workload);
  return workload?.authorizationPolicies.some((key) => view.policy(key) === null) ?? false;
}

/** What `decideInbound` would say of a connection, without the names for logs. Null policies deny. */
export function isAllowed(policies: PodPolicies | null, question: InboundQuestion): boolean {
  if (policies === null) return false;
  const connection = parseQuestion(question);
  if (typeof connection === 'string') return false;
  if (!isForeign(policies.workload, connection) && !passes(policies.guard, question)) return false;
  return authorize(policies.policies, connection, policies.unknown).decision.allowed;
}

function parseQuestion(question: InboundQuestion): ParsedQuestion | 'invalid_peer' | 'invalid_address' {
  const peer = question.peer === null ? null : parseSpiffeId(question.peer);
  if (question.peer !== null && peer === null) return 'invalid_peer';
  const source = parseAddress(question.source);
  const destination = parseAddress(question.destination);
  if (source === null || destination === null) return 'invalid_address';
  return { peer, source, destination, port: question.port };
}

function denied(reason: InboundDenyReason): InboundDecision {
  return {
    allowed: false,
    policy: null,
    reason,
    sourceWorkload: null,
    service: null,
    mask: WHOLE_POD,
    dryRunMatches: [],
    dryRunAllowed: null,
    handover: null,
  };
}

/** Named only if it is who it says: an address alone can be another's by now, or spoofed where there is no identity. */
function sourceWorkload(view: MeshView, source: IpAddress, peer: string | null): Workload | null {
  const workload = view.ownerOf(source, '')?.workload ?? null;
  if (workload === null || peer === null) return workload;
  return identityOf(workload) === peer ? workload : null;
}

/** A service that the pod is an endpoint of at this port; the first by name where there are several. */
function serviceAt(view: MeshView, workload: Workload, port: number): string | null {
  for (const key of [...workload.services.keys()].sort()) {
    const targets = workload.services.get(key)?.values() ?? [];
    if ([...targets].includes(port) && view.service(key) !== null) return key;
  }
  return null;
}

/** The widest set of connections that get this very answer, the names in it for logs and metrics included. */
function maskOf(
  view: MeshView,
  workload: Workload,
  { peer, source }: ParsedQuestion,
  result: AuthorizationResult,
): AnswerMask {
  const { sourceBlocks, destination, port } = result.dependencies;
  const lengths = sourceBlocks.map((block) => distinguishingLength(source, block));
  // Peers of the mesh are asked for one by one, so each of them has to come up in a question of its own.
  const isAskedFor = view.onDemand && peer !== null;
  return {
    prefixLength: Math.max(isAskedFor ? addressLength(source.family) : view.holePrefixLength(source), ...lengths),
    anyPort: !port && workload.services.size === 0,
    // A waypoint gets what is meant for others, too.
    anyDestination: !destination && workload.applicationTunnel === null,
  };
}

/** How many bits of the address it takes to know whether it lies in the block. */
function distinguishingLength(address: IpAddress, block: Cidr): number {
  if (address.family !== block.family) return 0;
  const common = commonPrefixLength(address.bytes, block.bytes, block.prefixLength);
  return common === block.prefixLength ? common : common + 1;
}
