import type { Condition } from '../../model/workload.ts';
import { anyRequest, noChanges } from '../http-rules.ts';
import type { HttpRule } from '../http-rules.ts';
import type { ConnectionRule, DestinationName } from '../model.ts';

/** A route in our words, with all that its place among others depends on. */
export interface ConvertedRoute<Rule = RankedRule> {
  readonly kind: string;
  /** `namespace/name`. */
  readonly name: string;
  readonly namespace: string;
  /** RFC 3339; null: nobody says when it was made. */
  readonly created: string | null;
  /** At gateways: `example.com` or `*.example.com`, in lower case; none: every host. Services do not look at them. */
  readonly hostnames: readonly string[];
  readonly rules: readonly Rule[];
  readonly conditions: readonly Condition[];
  /** Of its parent's, without a grant: what may be sent there depends on the port; see `atPort`. */
  readonly lent: readonly DestinationName[];
}

export interface RankedRule {
  readonly rule: HttpRule;
  /** Compared from the left: the greater, the more specific and the earlier. */
  readonly rank: readonly number[];
}

/** The rules of all routes of one port in order of precedence. */
export interface MergedRules {
  readonly rules: readonly HttpRule[];
  readonly conditions: readonly Condition[];
}

/**
 * The Gateway API's order: the most specific match, then the older route, then the name, then the order within the route.
 * Routes of a client's own namespace (consumer routes) count for that namespace alone, and there instead of all others.
 *
 * @param serviceNamespace of the service whose port they are attached to
 * @param otherwise what requests meet where the service has no routes of its own
 */
export function mergeRoutes(
  routes: readonly ConvertedRoute[],
  serviceNamespace: string,
  otherwise: readonly HttpRule[],
): MergedRules {
  // Each namespace by itself: nobody's routes decide which ones of others count.
  const keptOf = (namespace: string): OneKind => ofOneKind(routes.filter(isOf(namespace)).toSorted(olderFirst));
  const consumers = new Set(routes.map(({ namespace }) => namespace).filter((name) => name !== serviceNamespace));
  const own = keptOf(serviceNamespace);
  const foreign = [...consumers].toSorted().map((namespace) => ({ namespace, ...keptOf(namespace) }));
  const foreignRules = foreign.flatMap(({ namespace, kept }) => [
    ...sorted(kept).map((rule) => onlyFrom(rule, namespace)),
    notFound(namespace),
  ]);
  return {
    rules: [...foreignRules, ...(own.kept.length === 0 ? otherwise : sorted(own.kept))],
    conditions: [own, ...foreign].flatMap(({ conditions }) => conditions),
  };
}

/** Likewise of one host of a gateway, where whoever may be attached has the same to say. */
export function mergeHostRoutes(routes: readonly ConvertedRoute[]): MergedRules {
  const { kept, conditions } = ofOneKind(routes.toSorted(olderFirst));
  return { rules: sorted(kept), conditions };
}

/** The rules of all TLSRoutes and TCPRoutes of one port: the most exact name first, what asks for none last. */
export function mergeConnectionRoutes(
  routes: readonly ConvertedRoute<ConnectionRule>[],
  serviceNamespace: string,
): { readonly rules: readonly ConnectionRule[] | null; readonly conditions: readonly Condition[] } {
  const [own, foreign] = [
    routes.filter(isOf(serviceNamespace)),
    routes.filter((route) => !isOf(serviceNamespace)(route)),
  ];
  const conditions = foreign.map(({ kind, name }): Condition => ({
    resource: `${kind} ${name}`,
    type: 'Accepted',
    reason: 'NotAllowedByParent',
    message: 'is not used: of connections only routes of the service’s own namespace count',
  }));
  if (own.length === 0) return { rules: null, conditions };
  const rules = own.toSorted(olderFirst).flatMap((route) => route.rules);
  return { rules: byServerName(rules), conditions };
}

/** The most exact name first, what asks for none last; rules of one name stay in their order. */
export function byServerName(rules: readonly ConnectionRule[]): readonly ConnectionRule[] {
  return rules.flatMap(oneNameEach).toSorted((left, right) => nameRank(right) - nameRank(left));
}

function isOf(namespace: string): (route: { readonly namespace: string }) => boolean {
  return (route) => route.namespace === namespace;
}

function oneNameEach(rule: ConnectionRule): readonly ConnectionRule[] {
  if (rule.serverNames.length <= 1) return [rule];
  return rule.serverNames.map((serverName) => ({ ...rule, serverNames: [serverName] }));
}

/** Exact names, then wildcards, the longer first; no DNS name is as long as what sets them apart. */
function nameRank({ serverNames: [name] }: ConnectionRule): number {
  if (name === undefined) return 0;
  if (name === '*') return 1;
  return name.startsWith('*.') ? name.length : 1000 + name.length;
}

function sorted(routes: readonly ConvertedRoute[]): readonly HttpRule[] {
  // Sorting keeps the order of equals, which is that of the routes and of the rules within them.
  return routes
    .flatMap(({ rules }) => rules)
    .toSorted((left, right) => compareRanks(right.rank, left.rank))
    .map(({ rule }) => rule);
}

interface OneKind {
  readonly kept: readonly ConvertedRoute[];
  readonly conditions: readonly Condition[];
}

/** An HTTPRoute and a GRPCRoute on one port would answer for each other's requests: the kind of the oldest route stays. */
function ofOneKind(routes: readonly ConvertedRoute[]): OneKind {
  const [oldest] = routes;
  const others = routes.filter(({ kind }) => kind !== oldest?.kind);
  const conditions = others.map(({ kind, name }): Condition => ({
    resource: `${kind} ${name}`,
    type: 'Accepted',
    reason: 'RouteConflict',
    message: `is not used: ${oldest?.kind ?? ''} ${oldest?.name ?? ''} is attached to the same place and is older`,
  }));
  return { kept: routes.filter(({ kind }) => kind === oldest?.kind), conditions };
}

/** The order of routes among each other: by age, then by name. */
export function olderFirst(left: ConvertedRoute<unknown>, right: ConvertedRoute<unknown>): number {
  const made = compareTexts(left.created ?? '', right.created ?? '');
  return made === 0 ? compareTexts(left.name, right.name) : made;
}

function compareTexts(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function compareRanks(left: readonly number[], right: readonly number[]): number {
  for (const [index, value] of left.entries()) {
    const difference = value - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function onlyFrom(rule: HttpRule, namespace: string): HttpRule {
  return { ...rule, match: { ...rule.match, sourceNamespace: namespace } };
}

/** What a namespace's own routes leave open stays open, whatever the service's routes say. */
function notFound(namespace: string): HttpRule {
  return {
    name: `${namespace}/none`,
    match: { ...anyRequest, sourceNamespace: namespace },
    action: { kind: 'respond', status: 404, body: null },
    requestHeaders: noChanges,
    responseHeaders: noChanges,
    fault: null,
    cors: null,
    statPrefix: null,
  };
}
