import { cidrContains, parseCidr } from './address.ts';
import type { Cidr, IpAddress } from './address.ts';
import { formatPrincipal } from './identity.ts';
import type { SpiffeId } from './identity.ts';
import type { Match, Policy, ServiceAccountMatch, StringMatch } from './policy.ts';

/** A connection as the destination sees it. */
export interface InboundConnection {
  /** Verified; null for plaintext. */
  readonly peer: SpiffeId | null;
  /** The tunnel's own peer address: what a peer says of others is never trusted here. */
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** The port of the application, not of the tunnel. */
  readonly port: number;
}

/** A policy whose blocks are parsed, so that a decision parses nothing. Made by `compilePolicy`. */
export interface CompiledPolicy {
  /** `namespace/name`. */
  readonly key: string;
  readonly policy: Policy;
  readonly rules: readonly (readonly (readonly CompiledMatch[])[])[];
  /** Why the policy cannot be evaluated; it then denies. */
  readonly malformed: string | null;
}

interface CompiledMatch {
  readonly match: Match;
  readonly sourceIps: readonly Cidr[];
  readonly notSourceIps: readonly Cidr[];
  readonly destinationIps: readonly Cidr[];
  readonly notDestinationIps: readonly Cidr[];
}

/**
 * What the decision looked at besides the peer: every connection of that peer that agrees on these gets the same one.
 * Two sources agree when each listed block contains both or neither.
 */
export interface Dependencies {
  readonly sourceBlocks: readonly Cidr[];
  readonly destination: boolean;
  readonly port: boolean;
}

export type DenyReason = 'policy_denied' | 'no_allow_policy_matched' | 'policy_unknown' | 'policy_malformed';

export type Decision =
  | { readonly allowed: true; readonly policy: string | null }
  | { readonly allowed: false; readonly policy: string | null; readonly reason: DenyReason };

export interface AuthorizationResult {
  readonly decision: Decision;
  readonly dependencies: Dependencies;
  /** `namespace/name` of dry-run policies that match; they decide nothing. */
  readonly dryRunMatches: readonly string[];
  /** Whether the connection were allowed if the dry-run policies counted; null where there are none. */
  readonly dryRunAllowed: boolean | null;
}

/** The kind of condition that fails; `empty`: the match names no condition, and is skipped. */
export type Mismatch = keyof Match | 'empty';

export interface RuleReasons {
  readonly matches: boolean;
  /** Place of the first clause that does not hold; -1 where the rule matches. */
  readonly clause: number;
  /** What fails in each match of that clause. */
  readonly failed: readonly Mismatch[];
}

export interface PolicyReasons {
  readonly matches: boolean;
  readonly rules: readonly RuleReasons[];
}

/** A block that does not parse makes the policy malformed: dropped, it could turn a condition into none. */
export function compilePolicy(policy: Policy): CompiledPolicy {
  const key = `${policy.namespace}/${policy.name}`;
  const bad: string[] = [];
  const rules = policy.rules.map((rule) =>
    rule.clauses.map((clause) => clause.map((match) => compileMatch(match, bad))),
  );
  const malformed = bad.length === 0 ? null : `not an address or CIDR block: ${bad.join(', ')}`;
  return { key, policy, rules, malformed };
}

/**
 * ztunnel's order: a matching DENY policy, then "no ALLOW policy: allowed", then a matching ALLOW policy, else denied.
 * Stricter than ztunnel in two things: a key of `unknown` (attached to the workload, policy not known yet) denies, and
 * so does a malformed policy.
 */
export function authorize(
  policies: readonly CompiledPolicy[],
  connection: InboundConnection,
  unknown: readonly string[] = [],
): AuthorizationResult {
  const probe = new Probe(connection);
  const enforced = policies.filter((compiled) => !compiled.policy.dryRun);
  const decision = decideBroken(enforced, unknown) ?? decide(enforced, probe);
  // Before the dry run: what decides nothing must not make answers narrower.
  const dependencies = probe.dependencies();
  const tried = policies.filter((compiled) => compiled.policy.dryRun && compiled.malformed === null);
  return {
    decision,
    dependencies,
    dryRunMatches: tried.filter((compiled) => matchesPolicy(compiled, probe)).map((compiled) => compiled.key),
    dryRunAllowed: tried.length === 0 ? null : allowedWith(tried, enforced, unknown, probe),
  };
}

function allowedWith(
  tried: readonly CompiledPolicy[],
  enforced: readonly CompiledPolicy[],
  unknown: readonly string[],
  probe: Probe,
): boolean {
  return (decideBroken(enforced, unknown) ?? decide([...enforced, ...tried], probe)).allowed;
}

function decideBroken(enforced: readonly CompiledPolicy[], unknown: readonly string[]): Decision | null {
  const missing = unknown[0];
  if (missing !== undefined) return { allowed: false, policy: missing, reason: 'policy_unknown' };
  const malformed = enforced.find((compiled) => compiled.malformed !== null);
  return malformed === undefined ? null : { allowed: false, policy: malformed.key, reason: 'policy_malformed' };
}

function decide(enforced: readonly CompiledPolicy[], probe: Probe): Decision {
  const matching = (action: Policy['action']) =>
    enforced.find((compiled) => compiled.policy.action === action && matchesPolicy(compiled, probe));
  const denying = matching('deny');
  if (denying !== undefined) return { allowed: false, policy: denying.key, reason: 'policy_denied' };
  if (enforced.every(({ policy }) => policy.action !== 'allow')) return { allowed: true, policy: null };
  const allowing = matching('allow');
  if (allowing !== undefined) return { allowed: true, policy: allowing.key };
  return { allowed: false, policy: null, reason: 'no_allow_policy_matched' };
}

function matchesPolicy(compiled: CompiledPolicy, probe: Probe): boolean {
  return compiled.rules.some((clauses) => clauses.every((matches) => matchesClause(matches, probe)));
}

/** A clause without matches holds; one whose matches are all empty does not, for an empty match is skipped. */
function matchesClause(matches: readonly CompiledMatch[], probe: Probe): boolean {
  return matches.length === 0 || matches.some((compiled) => mismatchOf(compiled, probe) === null);
}

function mismatchOf(compiled: CompiledMatch, probe: Probe): Mismatch | null {
  return isEmpty(compiled.match) ? 'empty' : probe.mismatch(compiled);
}

/**
 * Why a policy matches a connection or does not: for each of its first rules the first clause that does not hold, and what
 * fails in each match of it. The verdicts are those of `authorize`.
 */
export function explainPolicy(
  compiled: CompiledPolicy,
  connection: InboundConnection,
  mostRules: number,
): PolicyReasons {
  const probe = new Probe(connection);
  const rules = compiled.rules.slice(0, mostRules).map((clauses) => explainRule(clauses, probe));
  return { matches: matchesPolicy(compiled, probe), rules };
}

function explainRule(clauses: readonly (readonly CompiledMatch[])[], probe: Probe): RuleReasons {
  const clause = clauses.findIndex((matches) => !matchesClause(matches, probe));
  const failed = clauses[clause]?.map((compiled) => mismatchOf(compiled, probe) ?? 'empty') ?? [];
  return { matches: clause < 0, clause, failed };
}

function isEmpty(match: Match): boolean {
  return Object.values(match).every((values: readonly unknown[]) => values.length === 0);
}

const negated = {
  principals: 'notPrincipals',
  namespaces: 'notNamespaces',
  serviceAccounts: 'notServiceAccounts',
  sourceIps: 'notSourceIps',
  destinationIps: 'notDestinationIps',
  destinationPorts: 'notDestinationPorts',
} as const;

type MatchKind = keyof typeof negated;

/** One connection under evaluation; writes down what was looked at. The peer comes first, for it costs no cache entry. */
class Probe {
  readonly #connection: InboundConnection;
  readonly #principal: string;
  readonly #sourceBlocks = new Set<Cidr>();
  #destination = false;
  #port = false;

  constructor(connection: InboundConnection) {
    this.#connection = connection;
    this.#principal = connection.peer === null ? '' : formatPrincipal(connection.peer);
  }

  /** The first kind of condition that does not hold. */
  mismatch(compiled: CompiledMatch): keyof Match | null {
    return this.#peerMismatch(compiled.match) ?? this.#addressMismatch(compiled) ?? this.#portMismatch(compiled.match);
  }

  dependencies(): Dependencies {
    return { sourceBlocks: [...this.#sourceBlocks], destination: this.#destination, port: this.#port };
  }

  #peerMismatch(match: Match): keyof Match | null {
    const namespace = this.#connection.peer?.namespace ?? '';
    const text = (value: string) => (wanted: StringMatch) => matchesText(wanted, value);
    const account = (wanted: ServiceAccountMatch) => this.#isServiceAccount(wanted);
    return (
      failing('principals', match.principals, match.notPrincipals, text(this.#principal)) ??
      failing('namespaces', match.namespaces, match.notNamespaces, text(namespace)) ??
      failing('serviceAccounts', match.serviceAccounts, match.notServiceAccounts, account)
    );
  }

  #addressMismatch(compiled: CompiledMatch): keyof Match | null {
    const source = (block: Cidr) => this.#sourceIn(block);
    const destination = (block: Cidr) => this.#destinationIn(block);
    return (
      failing('sourceIps', compiled.sourceIps, compiled.notSourceIps, source) ??
      failing('destinationIps', compiled.destinationIps, compiled.notDestinationIps, destination)
    );
  }

  #portMismatch(match: Match): keyof Match | null {
    return failing('destinationPorts', match.destinationPorts, match.notDestinationPorts, (port) => this.#isPort(port));
  }

  /** The trust domain plays no part: the handshake has accepted it already. */
  #isServiceAccount(wanted: ServiceAccountMatch): boolean {
    const { peer } = this.#connection;
    return peer?.namespace === wanted.namespace && peer.serviceAccount === wanted.serviceAccount;
  }

  #sourceIn(block: Cidr): boolean {
    this.#sourceBlocks.add(block);
    return cidrContains(block, this.#connection.source);
  }

  #destinationIn(block: Cidr): boolean {
    this.#destination = true;
    return cidrContains(block, this.#connection.destination);
  }

  #isPort(port: number): boolean {
    this.#port = true;
    return port === this.#connection.port;
  }
}

/** Holds (null) for one of the values, unless there are none, and for none of the `not` values. */
function failing<T>(
  kind: MatchKind,
  values: readonly T[],
  notValues: readonly T[],
  test: (value: T) => boolean,
): keyof Match | null {
  if (values.length > 0 && !values.some(test)) return kind;
  return notValues.some(test) ? negated[kind] : null;
}

/** An absent value is the empty text, and nothing matches it: `not` lists then hold, which is how STRICT is written. */
function matchesText(wanted: StringMatch, value: string): boolean {
  if (value === '') return false;
  switch (wanted.kind) {
    case 'exact':
      return value === wanted.value;
    case 'prefix':
      return value.startsWith(wanted.value);
    case 'suffix':
      return value.endsWith(wanted.value);
    case 'presence':
      return true;
  }
}

function compileMatch(match: Match, bad: string[]): CompiledMatch {
  const blocks = (texts: readonly string[]): Cidr[] => texts.flatMap((text) => parseCidr(text) ?? note(bad, text));
  return {
    match,
    sourceIps: blocks(match.sourceIps),
    notSourceIps: blocks(match.notSourceIps),
    destinationIps: blocks(match.destinationIps),
    notDestinationIps: blocks(match.notDestinationIps),
  };
}

function note(bad: string[], text: string): readonly Cidr[] {
  bad.push(text);
  return [];
}
