import type { GatewayServer } from '../server.ts';
import { holder } from './claims.ts';
import type { Claim, ServerConflict } from './claims.ts';
import { ambiguousHosts, lostOf, withoutLost } from './kept-hosts.ts';
import type { LostHost } from './kept-hosts.ts';

/**
 * Who has which host of a port without TLS. Documents of Istio's API and Ingresses share hosts among themselves, as in Istio: which
 * routes count is settled between the routes. A host of the Gateway API is one listener's.
 */
export function settleRequests(claims: readonly Claim[]): {
  readonly servers: readonly GatewayServer[];
  readonly conflicts: readonly ServerConflict[];
} {
  const holders = new Map<string, Claim>();
  const servers: GatewayServer[] = [];
  const conflicts: ServerConflict[] = [];
  for (const claim of claims) {
    const ambiguous = ambiguousHosts(claim);
    for (const server of claim.servers) {
      const lost = server.hosts.flatMap(({ name }) => lostHost(name, claim, holders.get(name), ambiguous));
      const kept = withoutLost(server, lost);
      if (kept !== null) servers.push(kept);
      conflicts.push(...lostOf(server, lost));
    }
    for (const { hosts } of claim.servers) {
      for (const { name } of hosts) if (!holders.has(name)) holders.set(name, claim);
    }
  }
  return { servers, conflicts };
}

function lostHost(
  name: string,
  claim: Claim,
  before: Claim | undefined,
  ambiguous: ReadonlySet<string>,
): readonly LostHost[] {
  const [server] = claim.servers;
  if (server === undefined) return [];
  const shared = before === undefined || (!before.isStrict && !claim.isStrict);
  if (shared && !ambiguous.has(name)) return [];
  const who = holder(shared ? claim : before, server);
  return [{ host: name, reason: 'HostnameConflict', message: `${name} on port ${server.port} belongs to ${who}` }];
}
