import type { Condition } from '../../../model/workload.ts';
import { mergeHostRoutes } from '../../routes/precedence.ts';
import type { ConvertedRoute, MergedRules, RankedRule } from '../../routes/precedence.ts';
import type { VirtualHost } from '../model.ts';
import type { GatewayServer } from '../server.ts';
import { claimedHosts } from './attached.ts';
import type { Attached, Claims, RefusedClaim } from './attached.ts';
import type { HostPattern } from './hostnames.ts';
import type { HostOwners } from './host-owners.ts';
import { redirectedAt } from './redirects.ts';
import { mergeVirtualServices } from './virtual-services.ts';

/** What answers requests: the hosts of one table of routes. */
export interface RequestHosts {
  readonly hosts: readonly VirtualHost[];
  /** Manifests whose rules these are. */
  readonly origins: readonly string[];
  readonly conditions: readonly Condition[];
}

interface Domain extends Claims<RankedRule> {
  readonly name: HostPattern;
}

/**
 * Every host of the servers has an entry, also where no route is for it: what is sent there is nobody else's.
 *
 * @param servers that share the table: all of a port, or by TLS one; @param owners of all hosts of the port
 */
export function requestHosts(
  servers: readonly GatewayServer[],
  attached: readonly Attached<RankedRule>[],
  owners: HostOwners,
): RequestHosts {
  const { claims, refused } = claimedHosts(attached, owners);
  const domains = [...[...claims].map(([name, claim]): Domain => ({ name, ...claim })), ...unclaimed(servers, claims)];
  const [server] = servers;
  const groups = grouped(domains).map((group) => toVirtualHost(group, server));
  return {
    hosts: groups.map(({ host }) => host),
    origins: [...new Set(domains.flatMap(({ routes }) => routes.map(({ kind, name }) => `${kind} ${name}`)))].sort(),
    conditions: [...refusedConditions(refused), ...groups.flatMap(({ conditions }) => conditions)],
  };
}

/** Hosts of the servers themselves without a route. */
function unclaimed(servers: readonly GatewayServer[], claims: ReadonlyMap<HostPattern, unknown>): readonly Domain[] {
  const own = new Set(servers.flatMap(({ hosts }) => hosts.map(({ name }) => name)));
  const empty = [...own].filter((name) => !claims.has(name)).sort();
  return empty.map((name) => {
    const having = servers.filter(({ hosts }) => hosts.some((host) => host.name === name));
    return { name, routes: [], servers: having };
  });
}

/** Hosts of which the same is to be said are one entry. */
function grouped(domains: readonly Domain[]): readonly (readonly [Domain, ...Domain[]])[] {
  const numbers = new Map<unknown, number>();
  const numberOf = (route: unknown): number => {
    const number = numbers.get(route) ?? numbers.size;
    numbers.set(route, number);
    return number;
  };
  const groups = new Map<string, [Domain, ...Domain[]]>();
  for (const domain of domains) {
    const key = [isRedirected(domain), ...domain.routes.map(numberOf)].join(' ');
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [domain]);
    else known.push(domain);
  }
  return [...groups.values()];
}

function isRedirected({ servers }: Domain): boolean {
  return servers.some(({ redirectToHttps }) => redirectToHttps);
}

function toVirtualHost(
  [first, ...others]: readonly [Domain, ...Domain[]],
  server: GatewayServer | undefined,
): { readonly host: VirtualHost; readonly conditions: readonly Condition[] } {
  const domains = [first, ...others].map(({ name }) => name).sort();
  const { rules, conditions } = rulesOf(first.routes, hostsText(domains), server);
  const redirectToHttps = isRedirected(first);
  return { host: { domains, rules, redirectToHttps }, conditions };
}

/** Nobody reads hundreds of them in a condition. */
function hostsText(domains: readonly string[]): string {
  const more = domains.length - shownHosts;
  return `${domains.slice(0, shownHosts).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

const shownHosts = 3;

/** Where several kinds are of one host: routes of the Gateway API, then VirtualServices, then Ingresses. */
function rulesOf(routes: readonly ConvertedRoute[], host: string, server: GatewayServer | undefined): MergedRules {
  const ofKinds = (...kinds: readonly string[]) => routes.filter(({ kind }) => kinds.includes(kind));
  const own = ofKinds('HTTPRoute', 'GRPCRoute').map((route) => ({
    ...route,
    rules: server === undefined ? route.rules : route.rules.map((ranked) => redirectedAt(ranked, server)),
  }));
  const merged = [
    mergeHostRoutes(own),
    mergeVirtualServices(ofKinds('VirtualService'), host),
    mergeHostRoutes(ofKinds('Ingress')),
  ];
  return {
    rules: merged.flatMap(({ rules }) => rules),
    conditions: merged.flatMap(({ conditions }) => conditions),
  };
}

/** Whoever cannot see a namespace is not told what is in it. */
function seenFrom({ namespace }: Pick<ConvertedRoute, 'namespace'>, owner: GatewayServer): string {
  return owner.namespace === namespace ? owner.resource : 'a document of another namespace';
}

export function refusedConditions(refused: readonly RefusedClaim[]): readonly Condition[] {
  return refused.map(({ route, name, owner }) => ({
    resource: `${route.kind} ${route.name}`,
    type: 'Accepted',
    reason: 'HostConflict',
    message: `has no effect on ${name}: ${seenFrom(route, owner)} is older, has that host, and takes no routes of this namespace for it`,
  }));
}
