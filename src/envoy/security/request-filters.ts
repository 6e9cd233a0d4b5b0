import type { Any } from '@bufbuild/protobuf/wkt';
import { LocalRateLimitSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts';
import {
  RBACPerRouteSchema,
  RBACSchema,
} from '../../proto/gen/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts';
import type { HttpFilterSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import type { PolicyLookup } from '../policies.ts';
import { packed, typed } from '../values.ts';
import type { Init } from '../values.ts';
import { accessRules, rulesOfFilter, shadowPrefixes } from './access-rules.ts';
import type { RulesOfFilter } from './access-rules.ts';
import { asking, authorizersOf, reachable } from './asked-policies.ts';
import { authorizerFilters } from './authorizer-filters.ts';
import type { ClientsBy } from './clients.ts';
import { allowFilter, askedFilter, askedPrefix, auditFilter, denyFilter, limitFilter } from './filter-names.ts';
import { findingsOf } from './findings.ts';
import { limitRules } from './limit-rules.ts';
import type { AccessPolicy, ExternalAuthorizer, Security } from './model.ts';
import { tokenFilterOf } from './token-filter.ts';

type Filter = Init<typeof HttpFilterSchema>;

/**
 * Filters of a chain that speaks HTTP, in Istio's order: tokens, external authorizers, denials, audit, allowances, limits. Those for
 * policies and limits are always there, and what they do comes with the routes: so a change counts for the next request of every
 * connection, also of those that a change of the chain would leave as they are until they have drained.
 *
 * @param destinations what exists; who has to be asked and is not there makes Envoy refuse the whole listener
 */
export function requestFilters(
  security: Security,
  destinations: PolicyLookup,
  clients: ClientsBy = 'identity',
): readonly Filter[] {
  const { issuers } = security;
  return [
    ...(issuers.length === 0 ? [] : [tokenFilterOf(issuers)]),
    ...authorizersOf(reachable(security.policies, destinations)).flatMap((authorizer) =>
      authorizerFilters(authorizer, clients),
    ),
    typed(denyFilter, RBACSchema),
    typed(auditFilter, RBACSchema),
    typed(allowFilter, RBACSchema),
    typed(limitFilter, LocalRateLimitSchema, { statPrefix: 'rate_limit' }),
  ];
}

/** What these filters do for one virtual host, or for all of a gateway's site. */
export function requestRules(
  security: Security,
  destinations: PolicyLookup,
  clients: ClientsBy = 'identity',
): Record<string, Any> {
  const policies = reachable(security.policies, destinations);
  const authorizers = authorizersOf(policies);
  const guarded = [...policies, ...authorizers.flatMap((authorizer) => notAsked(authorizer, policies))];
  return {
    ...Object.fromEntries(authorizers.map((authorizer) => [askedFilter(authorizer.name), asked(authorizer, policies)])),
    ...rules(denyFilter, rulesOfFilter('deny', guarded), shadowPrefixes.deny),
    ...rules(auditFilter, rulesOfFilter('audit', policies), shadowPrefixes.audit),
    ...rules(allowFilter, rulesOfFilter('allow', policies), shadowPrefixes.allow),
    ...(security.limits.length === 0 ? {} : { [limitFilter]: limitRules(security.limits, clients) }),
  };
}

function asked(authorizer: ExternalAuthorizer, policies: readonly AccessPolicy[]): Any {
  return perRoute({ shadowRules: accessRules('deny', asking(authorizer, policies)) }, askedPrefix(authorizer.name));
}

/**
 * A connection that is older than the policy still has the chain that it began with, in which nobody is asked: what should have been
 * asked about is denied there.
 */
function notAsked(authorizer: ExternalAuthorizer, policies: readonly AccessPolicy[]): readonly AccessPolicy[] {
  const answer = {
    kind: 'metadata',
    filter: findingsOf.requests,
    path: [`${askedPrefix(authorizer.name)}shadow_engine_result`],
    match: { kind: 'present' },
  } as const;
  return asking(authorizer, policies).map((policy): AccessPolicy => ({
    ...policy,
    action: 'deny',
    provider: null,
    rules: policy.rules.map(({ source, operation }) => ({
      source: { kind: 'all', of: [source, { kind: 'not', of: answer }] },
      operation,
    })),
  }));
}

function rules(filter: string, found: RulesOfFilter, shadowRulesStatPrefix: string): Record<string, Any> {
  const nothing = found.rules === undefined && found.shadowRules === undefined;
  return nothing ? {} : { [filter]: perRoute(found, shadowRulesStatPrefix) };
}

function perRoute(found: RulesOfFilter, shadowRulesStatPrefix: string): Any {
  return packed(RBACPerRouteSchema, { rbac: { ...found, shadowRulesStatPrefix } });
}
