import type { Any } from '@bufbuild/protobuf/wkt';
import { create } from '@bufbuild/protobuf';
import { RouteConfigurationSchema } from '../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import type { RouteConfiguration } from '../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import type { RouteSchema } from '../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import { requestHeaders, responseHeaders } from './header-changes.ts';
import { routeFilters } from './http-filters.ts';
import { anyRequest, defaultRetries, noChanges } from './http-rules.ts';
import type { ForwardAction, HttpRule } from './http-rules.ts';
import { limitedBy } from './limited-routes.ts';
import type { BoundPort, BoundService, DestinationName, WaypointInput } from './model.ts';
import { chainName, directCluster } from './names.ts';
import { policyLookup } from './policies.ts';
import type { PolicyLookup } from './policies.ts';
import { carriedBy } from './port-plan.ts';
import { forwardAction, redirectAction, respondAction } from './route-action.ts';
import { routeMatch } from './route-match.ts';
import { retryPolicy } from './retries.ts';
import { limitedRoute } from './security/limit-rules.ts';
import type { Security } from './security/model.ts';
import { requestRules } from './security/request-filters.ts';
import { duration } from './values.ts';
import type { Init } from './values.ts';
import { groupWorkloads } from './workload-chains.ts';

/** Routes of every chain that speaks HTTP, each by the chain's name. */
export function buildRoutes(input: WaypointInput): readonly RouteConfiguration[] {
  const policies = policyLookup(input.destinations);
  const rulesOf = ({ security }: { readonly security: Security }) => requestRules(security, policies);
  const routes = input.services.flatMap((service) =>
    service.ports
      .filter((port) => carriedBy(service, port) !== 'tcp')
      .map((port) =>
        configuration(chainName(service, port, 'http'), routesOf(service, port, policies), rulesOf(service)),
      ),
  );
  const direct = groupWorkloads(input.workloads).map((group) =>
    configuration(group.names.http, [directRoute()], rulesOf(group)),
  );
  return [...routes, ...direct];
}

type Route = Init<typeof RouteSchema>;

/** The address has been asked for already: whatever host a request names, it is this one's. */
function configuration(name: string, routes: Route[], security: Record<string, Any>): RouteConfiguration {
  return create(RouteConfigurationSchema, {
    name,
    virtualHosts: [{ name, domains: ['*'], routes, typedPerFilterConfig: security }],
    ...longBodies(routes),
    // Destinations come and go by themselves; routes to one that is not there answer 500.
    validateClusters: false,
  });
}

/** Beyond 4 KiB Envoy has to be told how long a body may be. */
export function longBodies(routes: readonly Route[]): { maxDirectResponseBodySizeBytes?: number } {
  const bodies = routes.map(({ action }) => {
    const specifier = action?.case === 'directResponse' ? action.value.body?.specifier : undefined;
    return specifier?.case === 'inlineString' ? Buffer.byteLength(specifier.value) : 0;
  });
  const longest = Math.max(0, ...bodies);
  return longest > 4096 ? { maxDirectResponseBodySizeBytes: longest } : {};
}

function routesOf(service: BoundService, port: BoundPort, policies: PolicyLookup): Route[] {
  const { namespace, hostname } = service;
  const own: DestinationName = { namespace, hostname, port: port.number, subset: null };
  return ruleRoutes(port.rules ?? [ruleTo('default', own)], service.security, policies);
}

export function ruleRoutes(
  rules: readonly HttpRule[],
  { limits }: Pick<Security, 'limits'>,
  policies: PolicyLookup,
): Route[] {
  const limited = new Set(limits.flatMap((limit) => limitedRoute(limit) ?? []));
  return rules.map((rule) => ({ ...route(rule, policies), ...limitedBy(rule, limited) }));
}

/** Every request to one place. */
export function ruleTo(name: string, destination: DestinationName): HttpRule {
  const action: ForwardAction = {
    kind: 'forward',
    targets: [{ destination, weight: 1, requestHeaders: noChanges, responseHeaders: noChanges }],
    path: null,
    authority: null,
    timeout: null,
    retries: defaultRetries,
    mirrors: [],
    missing: 500,
  };
  return {
    name,
    match: anyRequest,
    action,
    requestHeaders: noChanges,
    responseHeaders: noChanges,
    fault: null,
    cors: null,
    statPrefix: null,
  };
}

function route(rule: HttpRule, policies: PolicyLookup): Route {
  return {
    name: rule.name,
    match: routeMatch(rule.match),
    action: action(rule, policies),
    ...requestHeaders(rule.requestHeaders),
    ...responseHeaders(rule.responseHeaders),
    typedPerFilterConfig: routeFilters(rule),
    statPrefix: rule.statPrefix ?? '',
  };
}

function action({ action: wanted, match }: HttpRule, policies: PolicyLookup): NonNullable<Route['action']> {
  switch (wanted.kind) {
    case 'forward':
      return { case: 'route', value: forwardAction(wanted, match.path, policies) };
    case 'redirect':
      return { case: 'redirect', value: redirectAction(wanted, match.path) };
    case 'respond':
      return { case: 'directResponse', value: respondAction(wanted) };
  }
}

function directRoute(): Route {
  const none = duration(0);
  const value = {
    clusterSpecifier: { case: 'cluster' as const, value: directCluster },
    timeout: none,
    maxStreamDuration: { maxStreamDuration: none, grpcTimeoutHeaderMax: none },
    retryPolicy: retryPolicy({ ...defaultRetries, otherHosts: false }),
  };
  return { name: 'default', match: routeMatch(anyRequest), action: { case: 'route', value } };
}
