import type { Condition } from '../../../model/workload.ts';
import type { GatewayServer } from '../server.ts';
import { Attachments } from './attachments.ts';
import type { GatewayRoutes } from './attachments.ts';
import { connectionRules } from './connection-rules.ts';
import type { ConnectionRules } from './connection-rules.ts';
import { HostOwners, olderServerFirst } from './host-owners.ts';
import type { GatewayLookups } from './lookups.ts';
import { requestHosts } from './request-hosts.ts';
import type { RequestHosts } from './request-hosts.ts';

/** What becomes of what comes to one port of a gateway, without its TLS and its policies. */
export interface RoutedPort {
  readonly serves: RoutedService;
  readonly conditions: readonly Condition[];
}

export type RoutedService =
  | ({ readonly kind: 'http' } & RequestHosts)
  /** Each by its own chain. */
  | { readonly kind: 'tls'; readonly servers: readonly RoutedTlsServer[] }
  | ({ readonly kind: 'tcp' } & ConnectionRules);

export interface RoutedTlsServer {
  readonly server: GatewayServer;
  /** Each once. */
  readonly serverNames: readonly string[];
  readonly serves: ({ readonly kind: 'http' } & RequestHosts) | ({ readonly kind: 'tcp' } & ConnectionRules);
}

export interface PortQuestion {
  /** All of one port that are in force: of one protocol, where that is `https` or `tls` of either; by TLS no name twice. */
  readonly servers: readonly GatewayServer[];
  readonly routes: GatewayRoutes;
  /** Of the gateway's pods. */
  readonly namespace: string;
}

/** What it gives does not depend on the order in which servers and routes are given. */
export function routedPort({ servers, routes, namespace }: PortQuestion, lookups: GatewayLookups): RoutedPort {
  const sorted = servers.toSorted(olderServerFirst);
  const attachments = new Attachments(routes, namespace, lookups);
  const serves = routedService(sorted, attachments, new HostOwners(sorted, lookups));
  return { serves, conditions: distinct([...conditionsOf(serves), ...attachments.conditions]) };
}

function routedService(servers: readonly GatewayServer[], attachments: Attachments, owners: HostOwners): RoutedService {
  const requests = (of: readonly GatewayServer[]) => {
    const attached = of.flatMap((server) => attachments.requestsOf(server));
    return { kind: 'http' as const, ...requestHosts(of, attached, owners) };
  };
  const connections = (of: readonly GatewayServer[], named: boolean) => {
    const attached = of.flatMap((server) => attachments.connectionsOf(server));
    return { kind: 'tcp' as const, ...connectionRules(attached, owners, named) };
  };
  switch (servers[0]?.protocol) {
    case 'https':
    case 'tls':
      return {
        kind: 'tls',
        servers: servers.map((server) => ({
          server,
          serverNames: [...new Set(server.hosts.map(({ name }) => name))].sort(),
          serves: servesRequests(server) ? requests([server]) : connections([server], true),
        })),
      };
    case 'tcp':
      return connections(servers, false);
    case 'http':
    case undefined:
      return requests(servers);
  }
}

/** TLS that is passed through hides what is in it. */
function servesRequests({ protocol, tls }: GatewayServer): boolean {
  return protocol === 'https' && tls !== 'passthrough';
}

function conditionsOf(serves: RoutedService): readonly Condition[] {
  return serves.kind === 'tls' ? serves.servers.flatMap((server) => server.serves.conditions) : serves.conditions;
}

function distinct(conditions: readonly Condition[]): readonly Condition[] {
  const byText = new Map(conditions.map((condition) => [JSON.stringify(condition), condition]));
  return [...byText].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, condition]) => condition);
}
