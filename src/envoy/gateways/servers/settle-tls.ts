import { isDeepStrictEqual } from 'node:util';
import type { GatewayServer, ServerTlsTerms } from '../server.ts';
import { holder } from './claims.ts';
import type { Claim, ServerConflict } from './claims.ts';
import { ambiguousHosts, lostOf, withoutLost } from './kept-hosts.ts';
import type { LostHost } from './kept-hosts.ts';
import { closedTerms } from './owner.ts';

/** What is served under some names that clients say when TLS begins. */
export interface TlsSite {
  /** Each of them is of no other site of the port. */
  readonly serverNames: readonly string[];
  readonly protocol: 'https' | 'tls';
  readonly tls: ServerTlsTerms | 'passthrough';
  /**
   * One; of Ingresses all that secure the same host with the same Secret. Hosts are those of the site. Of a name that nobody has, since
   * those who asked first cannot be told apart, one of them without a certificate and without routes.
   */
  readonly servers: readonly GatewayServer[];
}

interface Held {
  readonly claim: Claim;
  /** null: nobody has it, since those who came first cannot be told apart. */
  readonly site: Building | null;
}

interface Building {
  readonly names: readonly string[];
  readonly first: GatewayServer;
  readonly servers: GatewayServer[];
}

/** Who has which name of a port with TLS: TLS that ends here and TLS that goes through live together, by their names. */
export function settleTls(claims: readonly Claim[]): {
  readonly sites: readonly TlsSite[];
  readonly conflicts: readonly ServerConflict[];
} {
  const names = new Map<string, Held>();
  const sites: Building[] = [];
  const conflicts: ServerConflict[] = [];
  for (const claim of claims) {
    const ambiguous = ambiguousHosts(claim);
    sites.push(...[...ambiguous].filter((name) => !names.has(name)).flatMap((name) => closedSite(name, claim)));
    for (const server of claim.servers) {
      const joined = sameSite(server, names);
      if (joined !== null) {
        joined.servers.push(server);
        continue;
      }
      const lost = uniqueNames(server).flatMap((name) => lostName(name, server, claim, names.get(name), ambiguous));
      const kept = withoutLost(server, lost);
      const site = kept === null ? null : { names: uniqueNames(kept), first: kept, servers: [kept] };
      if (site !== null) sites.push(site);
      for (const name of uniqueNames(server)) if (!names.has(name)) names.set(name, { claim, site });
      conflicts.push(...lostOf(server, lost));
    }
  }
  return { sites: sites.map(siteOf), conflicts };
}

/** A name that nobody has leads nowhere: not to a server of its whole domain, which may ask less of its clients. */
function closedSite(name: string, { servers }: Claim): readonly Building[] {
  const server = servers.find((each) => uniqueNames(each).includes(name));
  if (server === undefined) return [];
  const hosts = [{ name, namespace: null }];
  const closed = { ...server, hosts, tls: closedTerms, allowed: { namespaces: 'none', kinds: [] } } as const;
  return [{ names: [name], first: closed, servers: [closed] }];
}

function siteOf({ names, first, servers }: Building): TlsSite {
  const { protocol, tls } = first;
  // Of this family all have terms.
  return { serverNames: names, protocol: protocol === 'https' ? 'https' : 'tls', tls: tls ?? 'passthrough', servers };
}

function uniqueNames({ hosts }: GatewayServer): readonly string[] {
  return [...new Set(hosts.map(({ name }) => name))];
}

/** People write one Ingress for each path of a host. With the same Secret of the same namespace that is one site. */
function sameSite(server: GatewayServer, names: ReadonlyMap<string, Held>): Building | null {
  const [name, ...others] = uniqueNames(server);
  if (server.kind !== 'Ingress' || name === undefined || others.length > 0) return null;
  const site = names.get(name)?.site ?? null;
  if (site?.first.kind !== 'Ingress' || site.first.namespace !== server.namespace) return null;
  return isDeepStrictEqual(site.first.tls, server.tls) ? site : null;
}

function lostName(
  name: string,
  server: GatewayServer,
  claim: Claim,
  before: Held | undefined,
  ambiguous: ReadonlySet<string>,
): readonly LostHost[] {
  if (before === undefined && !ambiguous.has(name)) return [];
  const rivals = (before?.claim ?? claim).servers.filter((each) => each !== server && uniqueNames(each).includes(name));
  const differ = rivals.some(({ tls }) => (tls === 'passthrough') !== (server.tls === 'passthrough'));
  const reason = differ ? 'ProtocolConflict' : 'HostnameConflict';
  const how = differ ? ', and TLS of one name cannot both end here and go through' : '';
  const who = holder(before?.claim ?? claim, server);
  return [{ host: name, reason, message: `${name} on port ${server.port} belongs to ${who}${how}` }];
}
