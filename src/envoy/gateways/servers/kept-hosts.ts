import type { GatewayServer } from '../server.ts';
import type { Claim, ServerConflict } from './claims.ts';

/** What a server has lost of its hosts, with what is said of it. */
export interface LostHost {
  readonly host: string;
  readonly reason: 'ProtocolConflict' | 'HostnameConflict';
  readonly message: string;
}

/** Hosts that more than one server of a document names: of none of these is any the first. */
export function ambiguousHosts({ isStrict, servers }: Claim): ReadonlySet<string> {
  if (!isStrict) return new Set();
  const names = servers.flatMap(({ hosts }) => [...new Set(hosts.map(({ name }) => name))]);
  return new Set(names.filter((name, index) => names.indexOf(name) < index));
}

/** The server with the hosts that are left to it; null: none. */
export function withoutLost(server: GatewayServer, lost: readonly LostHost[]): GatewayServer | null {
  const gone = new Set(lost.map(({ host }) => host));
  if (gone.size === 0) return server;
  const hosts = server.hosts.filter(({ name }) => !gone.has(name));
  return hosts.length === 0 ? null : { ...server, hosts };
}

export function lostOf(server: GatewayServer, lost: readonly LostHost[]): readonly ServerConflict[] {
  const [first] = lost;
  if (first === undefined) return [];
  const message = [...new Set(lost.map(({ message: text }) => text))].join('; ');
  return [
    {
      server,
      problem: { type: 'Conflicted', reason: first.reason, message },
      hosts: lost.map(({ host }) => host),
      closed: withoutLost(server, lost) === null,
    },
  ];
}
