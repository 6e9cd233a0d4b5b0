import type { GatewayServer } from '../server.ts';
import { claimsOf, holder, wholly } from './claims.ts';
import type { Claim, ServerConflict } from './claims.ts';
import { settleRequests } from './settle-requests.ts';
import { settleTls } from './settle-tls.ts';
import type { TlsSite } from './settle-tls.ts';

/** What is served on one port after all have been heard that ask for it. */
export interface SettledPort {
  /** As servers ask for it: of the gateway's Service. */
  readonly number: number;
  readonly serves:
    /** Hosts are those that each has kept. */
    | { readonly kind: 'http'; readonly servers: readonly GatewayServer[] }
    | { readonly kind: 'tls'; readonly sites: readonly TlsSite[] }
    | { readonly kind: 'tcp'; readonly server: GatewayServer };
}

export interface Settlement {
  readonly ports: readonly SettledPort[];
  readonly conflicts: readonly ServerConflict[];
}

type Family = 'http' | 'tls' | 'tcp';

/**
 * Decides between the servers of one gateway, whatever order they come in: the Gateway that the proxies were made for comes first, then the
 * oldest document, then by name. Servers of one document stand in its order.
 */
export function settlePorts(servers: readonly GatewayServer[]): Settlement {
  const numbers = [...new Set(servers.map(({ port }) => port))].toSorted((left, right) => left - right);
  const settled = numbers.map((number) => settlePort(number, claimsOf(servers.filter(({ port }) => port === number))));
  return {
    ports: settled.flatMap(({ port }) => (port === null ? [] : [port])),
    conflicts: settled.flatMap(({ conflicts }) => conflicts),
  };
}

interface Served {
  /** null: nobody gets anything. */
  readonly serves: SettledPort['serves'] | null;
  readonly conflicts: readonly ServerConflict[];
}

function settlePort(number: number, claims: readonly Claim[]) {
  const { family, heard, conflicts } = chooseFamily(claims);
  const { serves, conflicts: lost } = serve(family, heard);
  return { port: serves === null ? null : { number, serves }, conflicts: [...conflicts, ...lost] };
}

function serve(family: Family | null, claims: readonly Claim[]): Served {
  switch (family) {
    case null:
      return { serves: null, conflicts: [] };
    case 'http': {
      const { servers, conflicts } = settleRequests(claims);
      return { serves: servers.length === 0 ? null : { kind: 'http', servers }, conflicts };
    }
    case 'tls': {
      const { sites, conflicts } = settleTls(claims);
      return { serves: sites.length === 0 ? null : { kind: 'tls', sites }, conflicts };
    }
    case 'tcp': {
      const { server, conflicts } = settleConnections(claims);
      return { serves: server === null ? null : { kind: 'tcp', server }, conflicts };
    }
  }
}

function familyOf({ protocol }: GatewayServer): Family {
  return protocol === 'https' ? 'tls' : protocol;
}

/** Which kind of traffic the port is for. null: the first document wants several at once, and none of them is the first. */
function chooseFamily(claims: readonly Claim[]): {
  readonly family: Family | null;
  readonly heard: readonly Claim[];
  readonly conflicts: readonly ServerConflict[];
} {
  const [first] = claims;
  const wanted = new Set(first?.servers.map(familyOf));
  const family = first === undefined || (first.isStrict && wanted.size > 1) ? null : ([...wanted][0] ?? null);
  const conflicts = claims.flatMap(({ servers }) =>
    servers
      .filter((server) => familyOf(server) !== family)
      .map((server) => wholly(server, 'ProtocolConflict', protocolText(server, first, family))),
  );
  const heard = claims
    .map((claim) => ({ ...claim, servers: claim.servers.filter((server) => familyOf(server) === family) }))
    .filter(({ servers }) => servers.length > 0);
  return { family, heard, conflicts };
}

function protocolText(server: GatewayServer, first: Claim | undefined, family: Family | null): string {
  const kinds = { http: 'requests without TLS', tls: 'TLS', tcp: 'plain connections' };
  if (family !== null)
    return `port ${server.port} is for ${kinds[family]}, which ${holder(first, server)} has asked for before`;
  return `port ${server.port} cannot be for several protocols at once, as ${holder(first, server)} asks`;
}

/** One server alone can have a port whose connections carry no name. */
function settleConnections(claims: readonly Claim[]): {
  readonly server: GatewayServer | null;
  readonly conflicts: readonly ServerConflict[];
} {
  const [first] = claims;
  const [chosen, ...rivals] = first?.servers ?? [];
  const isAmbiguous = first?.isStrict === true && rivals.length > 0;
  const winner = isAmbiguous ? null : (chosen ?? null);
  const lost = claims.flatMap(({ servers }) => servers.filter((server) => server !== winner));
  const text = ({ port }: GatewayServer): string => `connections to port ${port} carry no name to choose by`;
  return {
    server: winner,
    conflicts: lost.map((server) =>
      wholly(server, 'HostnameConflict', `${text(server)}, and ${holder(first, server)} has it`),
    ),
  };
}
