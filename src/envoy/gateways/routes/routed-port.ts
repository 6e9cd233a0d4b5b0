import type { Condition } from '../../../model/workload.ts';
import type { GatewayServer } from '../server.ts';
import type { SettledPort } from '../servers/settle-ports.ts';
import type { TlsSite } from '../servers/settle-tls.ts';
import { Attachments } from './attachments.ts';
import type { GatewayRoutes } from './attachments.ts';
import { connectionRules } from './connection-rules.ts';
import type { ConnectionRules } from './connection-rules.ts';
import { HostOwners } from './host-owners.ts';
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
  | { readonly kind: 'tls'; readonly sites: readonly RoutedTlsSite[] }
  | ({ readonly kind: 'tcp' } & ConnectionRules);

export interface RoutedTlsSite {
  readonly site: TlsSite;
  readonly serves: ({ readonly kind: 'http' } & RequestHosts) | ({ readonly kind: 'tcp' } & ConnectionRules);
}

export interface PortQuestion {
  readonly port: SettledPort;
  readonly routes: GatewayRoutes;
  /** Of the gateway's pods. */
  readonly namespace: string;
}

/** What it gives does not depend on the order in which routes are given. */
export function routedPort({ port, routes, namespace }: PortQuestion, lookups: GatewayLookups): RoutedPort {
  const attachments = new Attachments(routes, namespace, lookups);
  const serves = new PortRouting(port, attachments, lookups).serves();
  return { serves, conditions: distinct([...conditionsOf(serves), ...attachments.conditions]) };
}

class PortRouting {
  readonly #port: SettledPort;
  readonly #attachments: Attachments;
  readonly #owners: HostOwners;

  constructor(port: SettledPort, attachments: Attachments, lookups: GatewayLookups) {
    this.#port = port;
    this.#attachments = attachments;
    this.#owners = new HostOwners(serversOf(port), lookups);
  }

  serves(): RoutedService {
    const { serves } = this.#port;
    switch (serves.kind) {
      case 'http':
        return this.#requests(serves.servers);
      case 'tls':
        return { kind: 'tls', sites: serves.sites.map((site) => ({ site, serves: this.#siteServes(site) })) };
      case 'tcp':
        return this.#connections([serves.server], false);
    }
  }

  /** TLS that is passed through hides what is in it. */
  #siteServes({ protocol, tls, servers }: TlsSite): RoutedTlsSite['serves'] {
    const isRead = protocol === 'https' && tls !== 'passthrough';
    return isRead ? this.#requests(servers) : this.#connections(servers, true);
  }

  #requests(servers: readonly GatewayServer[]): { readonly kind: 'http' } & RequestHosts {
    const attached = servers.flatMap((server) => this.#attachments.requestsOf(server));
    return { kind: 'http', ...requestHosts(servers, attached, this.#owners) };
  }

  #connections(servers: readonly GatewayServer[], named: boolean): { readonly kind: 'tcp' } & ConnectionRules {
    const attached = servers.flatMap((server) => this.#attachments.connectionsOf(server));
    return { kind: 'tcp', ...connectionRules(attached, this.#owners, named) };
  }
}

function serversOf({ serves }: SettledPort): readonly GatewayServer[] {
  switch (serves.kind) {
    case 'http':
      return serves.servers;
    case 'tls':
      return serves.sites.flatMap(({ servers }) => servers);
    case 'tcp':
      return [serves.server];
  }
}

function conditionsOf(serves: RoutedService): readonly Condition[] {
  return serves.kind === 'tls' ? serves.sites.flatMap((site) => site.serves.conditions) : serves.conditions;
}

function distinct(conditions: readonly Condition[]): readonly Condition[] {
  const byText = new Map(conditions.map((condition) => [JSON.stringify(condition), condition]));
  return [...byText].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, condition]) => condition);
}
