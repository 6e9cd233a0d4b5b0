import { askedBy, byRule, toChain } from './chain-matcher.ts';
import type { Branch } from './chain-matcher.ts';
import type { ConnectionRule, ConnectionTarget } from './model.ts';
import { clusterName, missingCluster } from './names.ts';
import type { TcpTarget } from './tcp-chain.ts';

export interface NamedRule {
  readonly rule: ConnectionRule;
  /** Of its chain. */
  readonly name: string;
}

/** The first has the name of them all. */
export function named(rules: readonly ConnectionRule[], base: string): readonly NamedRule[] {
  return rules.map((rule, index) => ({ rule, name: index === 0 ? base : `${base}|${index}` }));
}

export interface ConnectionPlan {
  readonly branch: Branch;
  /** The name that a client of TLS asks for has to be read first. */
  readonly readsNames: boolean;
  /** How much the branch asks, in single facts. */
  readonly asked: number;
}

/**
 * The first rule that asks for nothing takes what the ones before it leave.
 *
 * @param rules at least one
 * @param otherwise where what none of them takes goes; undefined: nowhere
 */
export function choose(rules: readonly NamedRule[], otherwise?: Branch): ConnectionPlan {
  const open = rules.findIndex(({ rule }) => rule.serverNames.length === 0 && rule.from === null);
  const asking = open < 0 ? rules : rules.slice(0, open);
  const unasked = rules[open];
  const last = unasked === undefined ? otherwise : toChain(unasked.name);
  if (asking.length === 0 && last !== undefined) return { branch: last, readsNames: false, asked: 0 };
  const branches = asking.map(({ rule, name }) => ({ rule, branch: toChain(name) }));
  // Reading a name takes the client's first bytes: a server that speaks first is not to wait for them without need.
  const readsNames = asking.some(({ rule }) => rule.serverNames.length > 0);
  const asked = asking.reduce((sum, { rule }) => sum + askedBy(rule), 0);
  return { branch: byRule(branches, last), readsNames, asked };
}

/** Envoy wants weights above zero; with none left nothing is reached. */
export function tcpTargets(targets: readonly ConnectionTarget[]): readonly TcpTarget[] {
  const used = targets.filter(({ weight }) => weight > 0);
  if (used.length === 0) return [{ cluster: missingCluster, weight: 1 }];
  return used.map(({ destination, weight }) => ({
    cluster: destination === null ? missingCluster : clusterName(destination),
    weight,
  }));
}
