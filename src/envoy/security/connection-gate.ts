import { allOf, anyOf, byDestinationBlock, byDestinationPort, byPeer, bySourceBlock, negation } from '../predicates.ts';
import type { Predicate } from '../predicates.ts';
import { peerPrincipal } from '../peer.ts';
import { ofConnections } from './connection-rules.ts';
import type { AccessPolicy, AccessRule, OperationFact, SourceFact, Test } from './model.ts';

/**
 * Who may connect at all, decided where the chain is chosen: Envoy's RBAC for connections looks at them with the client's
 * first bytes, and until then a client that may not connect would hear a server that speaks first. Facts that are not there yet
 * are left to it.
 *
 * @returns whether anybody may; a predicate where it depends on who asks
 */
export function connectionGate(policies: readonly AccessPolicy[]): Predicate | boolean {
  const enforced = policies.filter(({ dryRun }) => !dryRun).map(ofConnections);
  const denying = enforced.filter(({ action }) => action === 'deny');
  const allowing = enforced.filter(({ action }) => action === 'allow');
  const denied = anyOf(denying.flatMap(({ rules }) => rules.map((rule) => ruleOf(rule, false))));
  const allowed =
    allowing.length === 0 || anyOf(allowing.flatMap(({ rules }) => rules.map((rule) => ruleOf(rule, true))));
  return allOf([negation(denied), allowed]);
}

/** How much a gate asks, in single facts. */
export function gateSize(gate: Predicate | boolean): number {
  if (typeof gate === 'boolean') return 0;
  const type = gate.matchType;
  switch (type?.case) {
    case 'andMatcher':
    case 'orMatcher':
      return (type.value.predicate ?? []).reduce((sum, part) => sum + gateSize(part as Predicate), 0);
    case 'notMatcher':
      return gateSize(type.value as Predicate);
    default:
      return 1;
  }
}

/** @param otherwise what a fact is taken for that is not there yet, whichever way it is asked */
function ruleOf({ source, operation }: AccessRule, otherwise: boolean): Predicate | boolean {
  return allOf([predicateOf(source, otherwise), predicateOf(operation, otherwise)]);
}

type Fact = SourceFact | OperationFact;

function predicateOf(test: Test<Fact>, otherwise: boolean): Predicate | boolean {
  switch (test.kind) {
    case 'all':
      return allOf(test.of.map((part) => predicateOf(part, otherwise)));
    case 'any':
      return anyOf(test.of.map((part) => predicateOf(part, otherwise)));
    case 'not':
      return negation(predicateOf(test.of, !otherwise));
    default:
      return factOf(test) ?? otherwise;
  }
}

/** null: it is known later. */
function factOf(fact: Fact): Predicate | null {
  switch (fact.kind) {
    case 'identity':
      return byPeer(peerPrincipal, fact.match);
    case 'source-address':
    case 'remote-address':
      return bySourceBlock(fact.block);
    case 'destination-address':
      return byDestinationBlock(fact.block);
    case 'destination-port':
      return byDestinationPort(fact.port);
    // Of requests, or of what a client says first.
    default:
      return null;
  }
}
