import type { FilterSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { RBACSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts';
import { typed } from '../values.ts';
import type { Init } from '../values.ts';
import { rulesOfFilter } from './access-rules.ts';
import type { Action } from './access-rules.ts';
import { dryRunPrefix } from './filter-names.ts';
import { always } from './model.ts';
import type { AccessPolicy, AccessRule, OperationFact, SourceFact, Test } from './model.ts';

/** Facts that only requests have. */
const ofRequests: ReadonlySet<string> = new Set(['header', 'claim', 'host', 'method', 'path']);

/** Filters for connections that are no HTTP, in their order. What asks for HTTP fails closed. */
export function connectionFilters(policies: readonly AccessPolicy[], statPrefix: string): Init<typeof FilterSchema>[] {
  const seen = policies.map(ofConnections);
  return (['deny', 'audit', 'allow'] as const).flatMap((action) => connectionFilter(action, seen, statPrefix));
}

function connectionFilter(
  action: Action,
  policies: readonly AccessPolicy[],
  statPrefix: string,
): Init<typeof FilterSchema>[] {
  const rules = rulesOfFilter(action, policies);
  if (rules.rules === undefined && rules.shadowRules === undefined) return [];
  const prefixes = { statPrefix: `${statPrefix}_${action}.`, shadowRulesStatPrefix: dryRunPrefix };
  return [typed('envoy.filters.network.rbac', RBACSchema, { ...rules, ...prefixes })];
}

/** Nobody is asked about a connection, so what would be asked of is denied. */
export function ofConnections(policy: AccessPolicy): AccessPolicy {
  const { action, rules } = policy;
  if (action === 'allow') return { ...policy, rules: rules.filter((rule) => !asksForRequests(rule)) };
  return { ...policy, action: action === 'custom' ? 'deny' : action, provider: null, rules: rules.map(widened) };
}

export function asksForRequests({ source, operation }: AccessRule): boolean {
  return mentionsRequests(source) || mentionsRequests(operation);
}

/** @returns whether a policy asks for the name that a client of TLS asks for, which somebody has to read first */
export function asksForServerName({ rules }: AccessPolicy): boolean {
  return rules.some(({ operation }) => mentions(operation, (kind) => kind === 'server-name'));
}

function mentionsRequests(test: Test<SourceFact | OperationFact>): boolean {
  return mentions(test, (kind) => ofRequests.has(kind));
}

function mentions(test: Test<SourceFact | OperationFact>, wanted: (kind: string) => boolean): boolean {
  switch (test.kind) {
    case 'all':
    case 'any':
      return test.of.some((part) => mentions(part, wanted));
    case 'not':
      return mentions(test.of, wanted);
    default:
      return wanted(test.kind);
  }
}

function widened({ source, operation }: AccessRule): AccessRule {
  return { source: wider(source, (fact) => fact), operation: wider(operation, orNoName) };
}

/** What asks for a request is taken as true, whichever way it is asked. */
function wider<Fact extends SourceFact | OperationFact>(
  test: Test<Fact>,
  change: (fact: Test<Fact>) => Test<Fact>,
): Test<Fact> {
  if (test.kind === 'all' || test.kind === 'any') {
    return { kind: test.kind, of: test.of.map((part) => wider(part, change)) };
  }
  if (mentionsRequests(test)) return always;
  return test.kind === 'not' ? test : change(test);
}

/** A client that says nothing for long, or no name, would otherwise be past what denies by it. */
function orNoName(fact: Test<OperationFact>): Test<OperationFact> {
  if (fact.kind !== 'server-name') return fact;
  const match = { kind: 'exact', value: '', ignoreCase: false } as const;
  return { kind: 'any', of: [fact, { kind: 'server-name', match }] };
}
