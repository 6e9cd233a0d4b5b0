import type { FilterSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { RBACSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts';
import { ApiVersion } from '../../proto/gen/envoy-api/envoy/config/core/v3/config_source_pb.ts';
import { ExtAuthzSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.ts';
import type { PolicyLookup } from '../policies.ts';
import { typed } from '../values.ts';
import type { Init } from '../values.ts';
import { accessRules, rulesOfFilter, shadowPrefixes } from './access-rules.ts';
import type { Action } from './access-rules.ts';
import { asking, authorizersOf, reachable } from './asked-policies.ts';
import { grpcServiceOf, toBeAsked } from './authorizer-filters.ts';
import type { ClientsBy } from './clients.ts';
import { askedPrefix } from './filter-names.ts';
import { mentions } from './mentions.ts';
import { always } from './model.ts';
import type { AccessPolicy, AccessRule, ExternalAuthorizer, OperationFact, SourceFact, Test } from './model.ts';

type Filter = Init<typeof FilterSchema>;

/** Facts that only requests have. */
const ofRequests: ReadonlySet<string> = new Set(['header', 'claim', 'host', 'method', 'path']);

export interface ConnectionSecurity {
  /** Before the statistics of the filters. */
  readonly statPrefix: string;
  readonly destinations: PolicyLookup;
  readonly clients?: ClientsBy;
}

/** Filters for connections that are no HTTP, in their order. What asks for HTTP fails closed. */
export function connectionFilters(
  policies: readonly AccessPolicy[],
  { statPrefix, destinations, clients = 'identity' }: ConnectionSecurity,
): Filter[] {
  const seen = reachable(policies, destinations).map(ofConnections);
  return [
    ...authorizersOf(seen).flatMap((authorizer) =>
      authorizerFilters(grpcServiceOf(authorizer, clients), authorizer, asking(authorizer, seen), statPrefix),
    ),
    ...(['deny', 'audit', 'allow'] as const).flatMap((action) => connectionFilter(action, seen, statPrefix)),
  ];
}

/** Finds out whether the authorizer has to be asked about the connection, and asks. */
function authorizerFilters(
  grpcService: ReturnType<typeof grpcServiceOf>,
  authorizer: ExternalAuthorizer,
  policies: readonly AccessPolicy[],
  statPrefix: string,
): Filter[] {
  if (policies.length === 0) return [];
  const prefix = askedPrefix(authorizer.name);
  const prefixes = { statPrefix: `${statPrefix}_${prefix}.`, shadowRulesStatPrefix: prefix };
  return [
    typed('envoy.filters.network.rbac', RBACSchema, { shadowRules: accessRules('deny', policies), ...prefixes }),
    typed('envoy.filters.network.ext_authz', ExtAuthzSchema, {
      statPrefix: `${statPrefix}_${prefix}`,
      grpcService,
      transportApiVersion: ApiVersion.V3,
      failureModeAllow: authorizer.failOpen,
      filterEnabledMetadata: toBeAsked(authorizer, 'connections'),
    }),
  ];
}

function connectionFilter(action: Action, policies: readonly AccessPolicy[], statPrefix: string): Filter[] {
  const rules = rulesOfFilter(action, policies);
  if (rules.rules === undefined && rules.shadowRules === undefined) return [];
  const prefixes = { statPrefix: `${statPrefix}_${action}.`, shadowRulesStatPrefix: shadowPrefixes[action] };
  return [typed('envoy.filters.network.rbac', RBACSchema, { ...rules, ...prefixes })];
}

/** Where nobody can be asked about a connection, what would be asked of is denied. */
export function ofConnections(policy: AccessPolicy): AccessPolicy {
  const { action, rules, provider } = policy;
  if (action === 'allow') return { ...policy, rules: rules.filter((rule) => !asksForRequests(rule)) };
  if (action !== 'custom' || asksOfConnections(provider)) return { ...policy, rules: rules.map(widened) };
  return { ...policy, action: 'deny', provider: null, rules: rules.map(widened) };
}

/** Over HTTP an authorizer is asked about requests alone: what it would have to be asked about otherwise is denied. */
export function asksOfConnections(provider: ExternalAuthorizer | null): boolean {
  return provider?.protocol === 'grpc';
}

export function asksForRequests({ source, operation }: AccessRule): boolean {
  return mentionsRequests(source) || mentionsRequests(operation);
}

function mentionsRequests(test: Test<SourceFact | OperationFact>): boolean {
  return mentions(test, (kind) => ofRequests.has(kind));
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
