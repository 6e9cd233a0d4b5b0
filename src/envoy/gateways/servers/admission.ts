import { isNamespaceAllowed } from '../routes/allowed.ts';
import { anyHost, coveringPatterns } from '../routes/hostnames.ts';
import type { NamespaceLookup } from '../routes/lookups.ts';
import type { GatewayServer } from '../server.ts';
import { claimsOf, holder } from './claims.ts';
import type { Claim, ServerConflict } from './claims.ts';
import { lostOf, withoutLost } from './kept-hosts.ts';
import type { LostHost } from './kept-hosts.ts';
import { PortBounds } from './port-bounds.ts';

export interface Admission {
  /** With the hosts and on the ports that they may have. */
  readonly servers: readonly GatewayServer[];
  readonly conflicts: readonly ServerConflict[];
  /** Of those with fewer hosts than were asked for, the server as it was given. */
  readonly given: ReadonlyMap<GatewayServer, GatewayServer>;
}

/**
 * Which servers of other namespaces a gateway has, before it is settled who has what. A host that a document of the gateway's own namespace
 * or an older one has, by its name or by a wider one, is for those namespaces alone that this document takes routes of: a closer name
 * would else take it out of their hands, with a certificate of the gateway's own.
 *
 * @param namespace of the gateway's pods
 */
export function admittedServers(
  servers: readonly GatewayServer[],
  namespace: string,
  lookups: NamespaceLookup,
): Admission {
  const claims = ownFirst(claimsOf(servers), namespace);
  const hosts = new AdmittedHosts(namespace, lookups);
  const ports = new PortBounds(namespace);
  const admitted: GatewayServer[] = [];
  const conflicts: ServerConflict[] = [];
  const given = new Map<GatewayServer, GatewayServer>();
  for (const server of claims.flatMap((claim) => claim.servers)) {
    const refused = ports.refusalOf(server);
    if (refused !== null) {
      conflicts.push(refused);
      continue;
    }
    const lost = hosts.lostOf(server);
    const kept = withoutLost(server, lost);
    conflicts.push(...lostOf(server, lost));
    if (kept === null) continue;
    admitted.push(kept);
    hosts.add(kept);
    if (kept !== server) given.set(kept, server);
  }
  return { servers: admitted, conflicts, given };
}

function ownFirst(claims: readonly Claim[], namespace: string): readonly Claim[] {
  const isOwn = ({ servers }: Claim): boolean => servers[0]?.namespace === namespace;
  return [...claims.filter(isOwn), ...claims.filter((claim) => !isOwn(claim))];
}

/** Of all ports together: browsers keep cookies of a host for all of its ports. */
class AdmittedHosts {
  readonly #namespace: string;
  readonly #lookups: NamespaceLookup;
  readonly #owners = new Map<string, GatewayServer>();

  constructor(namespace: string, lookups: NamespaceLookup) {
    this.#namespace = namespace;
    this.#lookups = lookups;
  }

  add(server: GatewayServer): void {
    if (server.protocol === 'tcp') return;
    for (const { name } of server.hosts) {
      const key = keyOf(name, server.port);
      const isNobodys = name === anyHost && server.namespace !== this.#namespace;
      if (!isNobodys && !this.#owners.has(key)) this.#owners.set(key, server);
    }
  }

  lostOf(server: GatewayServer): readonly LostHost[] {
    if (server.namespace === this.#namespace || server.protocol === 'tcp') return [];
    return [...new Set(server.hosts.map(({ name }) => name))].flatMap((host) => this.#lost(host, server));
  }

  /** The closest name counts: who has it was admitted himself. */
  #lost(host: string, server: GatewayServer): readonly LostHost[] {
    for (const name of coveringPatterns(host)) {
      const owner = this.#owners.get(keyOf(name, server.port));
      if (owner === undefined) continue;
      return this.#admits(owner, name, host, server) ? [] : [lost(host, name, server, owner)];
    }
    return [];
  }

  #admits(owner: GatewayServer, name: string, host: string, server: GatewayServer): boolean {
    if (owner.namespace === server.namespace) return true;
    // Its `allowedListeners` has let it in.
    if (owner.kind === 'Gateway' && (server.kind === 'ListenerSet' || server.kind === 'XListenerSet')) return true;
    // Those of other namespaces that ask for the same on one port are settled with, and may share it.
    if (name === host && owner.port === server.port && owner.namespace !== this.#namespace) return true;
    const isNamed = owner.hosts.some(
      (one) => one.name === name && (one.namespace === null || one.namespace === server.namespace),
    );
    return isNamed && isNamespaceAllowed(owner, server.namespace, this.#lookups);
  }
}

/** A server for every host has none in particular: it counts on its own port. */
function keyOf(name: string, port: number): string {
  return name === anyHost ? `${name} ${port}` : name;
}

function lost(host: string, name: string, server: GatewayServer, owner: GatewayServer): LostHost {
  const who = holder({ resource: owner.resource, servers: [owner] }, server);
  const message = `${host} on port ${server.port} is kept by ${who}, which has ${name} and takes no routes of ${server.namespace} for it`;
  return { host, reason: 'HostnameConflict', message };
}
