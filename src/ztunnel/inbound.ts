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

export type InboundDenyReason = DenyReason | 'unknown_destination' | 'invalid_address' | 'invalid_peer';

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
}

const WHOLE_POD: AnswerMask = { prefixLength: 0, anyPort: true, anyDestination: true };

/** What decides who may reach a pod, found once for many connections. */
export interface PodPolicies {
  readonly workload: Workload;
  readonly policies: readonly CompiledPolicy[];
  /** Keys that the workload names and nobody has said yet what they mean: they deny. */
  readonly unknown: readonly string[];
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
  };
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
  return { workload, policies, unknown };
}

/** What `decideInbound` would say of a connection, without the names for logs. Null policies deny. */
export function isAllowed(policies: PodPolicies | null, question: InboundQuestion): boolean {
  if (policies === null) return false;
  const connection = parseQuestion(question);
  return typeof connection !== 'string' && authorize(policies.policies, connection, policies.unknown).decision.allowed;
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
    anyDestination: !destination,
  };
}

/** How many bits of the address it takes to know whether it lies in the block. */
function distinguishingLength(address: IpAddress, block: Cidr): number {
  if (address.family !== block.family) return 0;
  const common = commonPrefixLength(address.bytes, block.bytes, block.prefixLength);
  return common === block.prefixLength ? common : common + 1;
}
