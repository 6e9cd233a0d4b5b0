import type { GatewayServer } from '../server.ts';
import { isNamespaceAllowed } from './allowed.ts';
import { append } from './appended.ts';
import { anyHost, coveringPatterns } from './hostnames.ts';
import type { HostPattern } from './hostnames.ts';
import type { NamespaceLookup } from './lookups.ts';

/** Which of a port's servers have which hosts: the closest name has it, whether it has any routes or not. */
export class HostOwners {
  /** By their names, the oldest first. */
  readonly #servers = new Map<HostPattern, GatewayServer[]>();
  readonly #lookups: NamespaceLookup;

  constructor(servers: readonly GatewayServer[], lookups: NamespaceLookup) {
    this.#lookups = lookups;
    for (const server of servers.toSorted(olderServerFirst)) {
      for (const name of new Set(server.hosts.map((host) => host.name))) append(this.#servers, name, server);
    }
  }

  /** The server name to which requests for the host belong; null: no server's. */
  nameFor(host: HostPattern): HostPattern | null {
    return coveringPatterns(host).find((name) => this.#servers.has(name)) ?? null;
  }

  /**
   * Whether a name that several servers have is also for routes of the namespace: of a name the oldest server says that, for else
   * whoever writes it again had a part of it. `*` is nobody's in particular.
   */
  isOpenTo(name: HostPattern, namespace: string): boolean {
    const [oldest] = this.#servers.get(name) ?? [];
    if (oldest === undefined || name === anyHost) return true;
    const isNamed = oldest.hosts.some(
      (host) => host.name === name && (host.namespace === null || host.namespace === namespace),
    );
    return isNamed && isNamespaceAllowed(oldest, namespace, this.#lookups);
  }

  oldestOf(name: HostPattern): GatewayServer | undefined {
    return this.#servers.get(name)?.[0];
  }
}

/** By age, then by name: what has no age is younger than all that have one. */
export function olderServerFirst(left: GatewayServer, right: GatewayServer): number {
  const [one, two] = [serverAge(left), serverAge(right)];
  if (one === two) return 0;
  return one < two ? -1 : 1;
}

function serverAge({ created, resource, section, port }: GatewayServer): string {
  const age = created === null ? '~' : String(created).padStart(16, '0');
  return `${age} ${resource} ${section} ${port}`;
}
