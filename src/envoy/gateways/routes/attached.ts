import { olderFirst } from '../../routes/precedence.ts';
import type { ConvertedRoute } from '../../routes/precedence.ts';
import type { GatewayServer } from '../server.ts';
import { sharedHosts } from './allowed.ts';
import { append } from './appended.ts';
import { covers } from './hostnames.ts';
import type { HostPattern } from './hostnames.ts';
import type { HostOwners } from './host-owners.ts';

/** What a manifest wants of a server that takes it; its hosts are not looked at yet. */
export interface Attached<Rule> {
  readonly server: GatewayServer;
  readonly route: ConvertedRoute<Rule>;
  /** Hosts that are left to others of the same manifest. */
  readonly except: readonly HostPattern[];
}

/** Who answers for a host. */
export interface Claims<Rule> {
  /** Each route once, in the order of age. */
  readonly routes: readonly ConvertedRoute<Rule>[];
  readonly servers: readonly GatewayServer[];
}

export interface RefusedClaim {
  readonly route: Pick<ConvertedRoute<unknown>, 'kind' | 'name' | 'namespace'>;
  /** Of the server, which is older than the one that the route is attached to. */
  readonly name: HostPattern;
  readonly owner: GatewayServer;
}

/** By host, what is attached there; and what was kept from another's host. */
export interface ClaimedHosts<Rule> {
  readonly claims: ReadonlyMap<HostPattern, Claims<Rule>>;
  readonly refused: readonly RefusedClaim[];
}

/** A host that is another server's, by a closer name, is not claimed by whoever is attached to a wider one. */
export function claimedHosts<Rule>(attached: readonly Attached<Rule>[], owners: HostOwners): ClaimedHosts<Rule> {
  const claims = new Map<HostPattern, Attached<Rule>[]>();
  const refused: RefusedClaim[] = [];
  for (const item of attached) {
    const { server, route, except } = item;
    const shared = sharedHosts(server, route).filter(({ name, domain }) => owners.nameFor(domain) === name);
    for (const { name, domain } of shared) {
      const owner = owners.oldestOf(name);
      if (except.some((other) => covers(other, domain))) continue;
      if (owners.isOpenTo(name, route.namespace)) append(claims, domain, item);
      else if (owner !== undefined) refused.push({ route, name, owner });
    }
  }
  return { claims: new Map([...claims].sort(byKey).map(([domain, items]) => [domain, claimsOf(items)])), refused };
}

function claimsOf<Rule>(items: readonly Attached<Rule>[]): Claims<Rule> {
  return {
    routes: [...new Set(items.map(({ route }) => route))].sort(olderFirst),
    servers: [...new Set(items.map(({ server }) => server))],
  };
}

function byKey([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number {
  return left < right ? -1 : 1;
}
