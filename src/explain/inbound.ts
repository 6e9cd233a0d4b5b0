import { parseAddress } from '../model/address.ts';
import { explainPolicy } from '../model/authorization.ts';
import type { CompiledPolicy, InboundConnection } from '../model/authorization.ts';
import { parseSpiffeId } from '../model/identity.ts';
import { convertedPolicyPrefix, strictPolicyName, unenforceablePolicyPrefix } from '../model/policy.ts';
import type { Policy } from '../model/policy.ts';
import type { InboundQuestion } from '../native/binding.ts';
import { decideInbound, policiesOfPod } from '../ztunnel/inbound.ts';
import type { InboundDecision } from '../ztunnel/inbound.ts';
import type { WaypointGuard } from '../ztunnel/waypoint-guard.ts';
import { conditionsOf, describePod } from './node-facts.ts';
import type { NodeFacts } from './node-facts.ts';
import { whyOf } from './policy-reasons.ts';
import type { Inbound, InboundAsked, LookedAt, Pod } from './shape.ts';

/** What is shown must fit a screen, and an answer its limit. */
const mostPolicies = 40;
const mostRules = 5;

/** The destination's half: whether its node lets a connection in, and which policies said so. */
export function explainInbound(facts: NodeFacts, asked: InboundAsked): Inbound {
  const { pod: uid, peer, source, destination, port, transport } = asked;
  const question: InboundQuestion = { kind: 'inbound', id: 0, ...asked };
  const decision = decideInbound(facts.view, question);
  const pod = describePod(facts, uid);
  const early = beforeDecision(facts, pod, asked);
  // Where nothing is asked, no policy has a say, whatever it says.
  const found = early === null ? policiesOfPod(facts.view, uid) : null;
  const asksPolicies = !withoutPolicies.has(decision.reason);
  const policies = asksPolicies ? lookAt(found?.policies ?? [], asked, decision) : [];
  return {
    end: 'inbound',
    basis: facts.basis,
    generation: facts.generation,
    pod,
    certificate: facts.certificate(pod.identity),
    question: { peer, source, destination, port, transport },
    action: early?.action ?? (decision.allowed ? 'allow' : 'deny'),
    reason: early?.reason ?? decision.reason,
    policy: early === null ? decision.policy : null,
    policies: policies.slice(0, mostPolicies),
    omitted: Math.max(0, policies.length - mostPolicies),
    waypoints: found === null || decision.handover !== null ? null : waypointsOf(found.guard, port),
    handover: early === null ? decision.handover : null,
    unknown: [...(found?.unknown ?? [])].slice(0, mostPolicies),
    dryRunAllowed: decision.dryRunAllowed,
    conditions: conditionsOf(facts.conditions, [`Pod ${pod.name}`, ...policies.map(({ document }) => document)]),
  };
}

/** Before policy is asked: where a connection has not come the way that it has to come, or to nobody who would take it. */
const withoutPolicies: ReadonlySet<string | null> = new Set(['not_through_waypoint', 'not_this_waypoint']);

/** Null where the pod takes connections of everybody at that port. */
function waypointsOf({ ports, peers }: WaypointGuard, port: number): string[] | null {
  return ports === 'all' || ports.has(port) ? [...peers] : null;
}

interface Early {
  readonly action: 'unguarded' | 'refused';
  readonly reason: string;
}

/**
 * A pod that nobody captures takes plain connections as without a mesh, and has nobody who would end a tunnel. One that takes them itself
 * is captured for tunnels alone.
 */
function beforeDecision({ view }: NodeFacts, pod: Pod, { transport }: InboundAsked): Early | null {
  if (pod.captured && pod.enrolled) {
    const bypasses = transport === 'plaintext' && view.localPod(pod.uid)?.bypassInbound === true;
    return bypasses ? { action: 'unguarded', reason: 'bypass_inbound' } : null;
  }
  if (pod.captured || transport !== 'plaintext') return { action: 'refused', reason: 'not_enrolled' };
  return { action: 'unguarded', reason: pod.wanted ? 'not_enrolled' : 'not_wanted' };
}

/** The one that decides first, those that match next. */
function lookAt(policies: readonly CompiledPolicy[], asked: InboundAsked, decision: InboundDecision): LookedAt[] {
  const connection = connectionOf(asked);
  if (connection === null) return [];
  // One that holds by its scope may be named by the workload, too.
  const distinct = [...new Map(policies.map((compiled) => [compiled.key, compiled])).values()];
  const shown = distinct.map((compiled) => lookAtOne(compiled, connection, decision));
  return shown.sort((left, right) => weight(right) - weight(left));
}

function weight({ decides, matches }: LookedAt): number {
  return (decides ? 2 : 0) + (matches ? 1 : 0);
}

function lookAtOne(compiled: CompiledPolicy, connection: InboundConnection, decision: InboundDecision): LookedAt {
  const { key, policy, malformed } = compiled;
  const reasons = explainPolicy(compiled, connection, mostRules);
  const { scope, action, dryRun } = policy;
  return {
    key,
    document: documentOf(policy),
    scope,
    action,
    dryRun,
    malformed,
    matches: reasons.matches,
    decides: !dryRun && decision.policy === key,
    why: whyOf(policy, reasons, connection),
  };
}

function connectionOf({ peer, source, destination, port }: InboundAsked): InboundConnection | null {
  const from = parseAddress(source);
  const to = parseAddress(destination);
  if (from === null || to === null) return null;
  return { peer: peer === null ? null : parseSpiffeId(peer), source: from, destination: to, port };
}

/**
 * As conditions name it. What says STRICT for a whole namespace or mesh became one policy for all of them, so no single
 * document can be named there.
 */
function documentOf({ namespace, name }: Policy): string {
  if (name === strictPolicyName) return 'PeerAuthentication STRICT';
  if (name.startsWith(convertedPolicyPrefix)) {
    return `PeerAuthentication ${namespace}/${name.slice(convertedPolicyPrefix.length)}`;
  }
  const document = name.startsWith(unenforceablePolicyPrefix) ? name.slice(unenforceablePolicyPrefix.length) : name;
  return `AuthorizationPolicy ${namespace}/${document}`;
}
