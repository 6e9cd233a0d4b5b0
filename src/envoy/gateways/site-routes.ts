import { create } from '@bufbuild/protobuf';
import { HeaderValueOption_HeaderAppendAction as Append } from '../../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import type { HeaderValueOptionSchema } from '../../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import { RouteConfigurationSchema } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import type { RouteConfiguration } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { RedirectAction_RedirectResponseCode as RedirectCode } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import type {
  RouteSchema,
  VirtualHostSchema,
} from '../../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import { anyRequest } from '../http-rules.ts';
import type { NamedMatch } from '../http-rules.ts';
import { policyLookup } from '../policies.ts';
import type { PolicyLookup } from '../policies.ts';
import { respondAction } from '../route-action.ts';
import { routeMatch } from '../route-match.ts';
import { longBodies, ruleRoutes } from '../routes.ts';
import { requestRules } from '../security/request-filters.ts';
import type { Init } from '../values.ts';
import { gatewayDestinations } from './destinations.ts';
import type { GatewayInput, GatewayPort, HttpSite, TlsServer, VirtualHost } from './model.ts';
import { quicPortOf } from './quic.ts';
import { isWithin, ServerNames } from './server-names.ts';

type Route = Init<typeof RouteSchema>;

/**
 * Above so many names of servers a port's tables of routes no longer name all that others have, since each server's table grows with
 * all others: what is not the server's own is then answered 421, also where nobody has it.
 */
const mostToldApart = 256;

/** The tables of routes of a port, one for each site that answers requests. */
export function buildPortRoutes(
  port: GatewayPort,
  { destinations }: Pick<GatewayInput, 'destinations'>,
): readonly RouteConfiguration[] {
  const policies = policyLookup(gatewayDestinations(destinations));
  const { serves } = port;
  switch (serves.kind) {
    case 'http':
      return [configuration(serves.site, tableInClear(serves.site, policies), policies)];
    case 'tcp':
      return [];
    case 'tls':
      return serverRoutes(serves.servers, port, policies);
  }
}

function serverRoutes(
  servers: readonly TlsServer[],
  port: GatewayPort,
  policies: PolicyLookup,
): readonly RouteConfiguration[] {
  const names = new ServerNames<TlsServer>();
  for (const server of servers) for (const name of server.serverNames) names.add(name, server);
  return servers.flatMap((server) => {
    if (server.serves.kind === 'tcp') return [];
    const { site } = server.serves;
    const told = server.tls === null ? null : quicPortOf(port, server.tls);
    return [configuration(site, tableOverTls(server, site, names, policies), policies, told)];
  });
}

/**
 * Security is that of the whole table, and no request goes past it: there is a route for each, if only one that answers 404.
 *
 * @param told UDP port that answers HTTP/3; null: none
 */
function configuration(
  { name, security }: HttpSite,
  table: HostTable,
  policies: PolicyLookup,
  told: number | null = null,
): RouteConfiguration {
  return create(RouteConfigurationSchema, {
    name,
    virtualHosts: table.hosts,
    typedPerFilterConfig: requestRules(security, policies, 'address'),
    responseHeadersToAdd: told === null ? [] : [alternative(told)],
    ...longBodies(table.routes),
    // A host is meant whatever port its client has come by.
    ignorePortInHostMatching: true,
    // Destinations come and go by themselves; routes to one that is not there answer 500.
    validateClusters: false,
  });
}

/** An hour: so long a client that has read it tries HTTP/3 first, and goes back to HTTP/2 where that is gone. */
function alternative(port: number): Init<typeof HeaderValueOptionSchema> {
  return {
    header: { key: 'alt-svc', value: `h3=":${port}"; ma=3600` },
    appendAction: Append.OVERWRITE_IF_EXISTS_OR_ADD,
  };
}

function tableInClear(site: HttpSite, policies: PolicyLookup): HostTable {
  const table = new HostTable();
  for (const host of site.hosts) table.add(host.domains, hostRoutes(host, site, policies));
  table.add(['*'], [none]);
  return table;
}

/**
 * A connection is to the server whose name its client has asked for, with the certificate and the demands on clients that this server
 * has. Requests on it for hosts of other servers are misdirected, as those of browsers are that use one connection for every host that
 * its certificate is for: told so (421, RFC 9110), they come again on a connection of their own.
 */
function tableOverTls(
  server: TlsServer,
  site: HttpSite,
  names: ServerNames<TlsServer>,
  policies: PolicyLookup,
): HostTable {
  const table = new HostTable();
  for (const host of site.hosts) {
    const own = host.domains.filter((domain) => names.ownerOf(domain.toLowerCase()) === server);
    table.add(own, hostRoutes(host, site, policies));
  }
  table.add(
    server.serverNames.filter((name) => names.ownerOf(name) === server),
    [none],
  );
  const areAllTold = names.count <= mostToldApart;
  table.add(areAllTold ? names.othersThan(server) : namesWithin(server, names), [misdirected]);
  table.add(['*'], [areAllTold ? none : misdirected]);
  return table;
}

/** Names of other servers that this one would have without them. */
function namesWithin(server: TlsServer, names: ServerNames<TlsServer>): readonly string[] {
  const wildcards = server.serverNames.filter((name) => name.startsWith('*'));
  if (wildcards.length === 0) return [];
  return names.othersThan(server).filter((name) => wildcards.some((wildcard) => isWithin(name, wildcard)));
}

/** Each domain once, or Envoy refuses the whole: the first has it. */
class HostTable {
  readonly hosts: Init<typeof VirtualHostSchema>[] = [];
  readonly routes: Route[] = [];
  readonly #taken = new Set<string>();

  add(wanted: readonly string[], routes: Route[]): void {
    const domains = [...new Set(wanted.map((domain) => domain.toLowerCase()))].filter(
      (domain) => !this.#taken.has(domain),
    );
    const [name] = domains;
    if (name === undefined) return;
    for (const domain of domains) this.#taken.add(domain);
    this.hosts.push({ name, domains, routes });
    this.routes.push(...routes);
  }
}

function hostRoutes({ rules, redirectToHttps }: VirtualHost, { security }: HttpSite, policies: PolicyLookup): Route[] {
  return [...(redirectToHttps ? [toHttps] : []), ...ruleRoutes(rules, security, policies), none];
}

const none = answer('none', 404);
const misdirected = answer('misdirected', 421);

function answer(name: string, status: number): Route {
  const value = respondAction({ kind: 'respond', status, body: null });
  return { name, match: routeMatch(anyRequest), action: { case: 'directResponse', value } };
}

const https: NamedMatch = { name: 'x-forwarded-proto', value: { kind: 'exact', value: 'https', ignoreCase: true } };

/** How a request has come is Envoy's own word, or that of a proxy that is trusted. */
const toHttps: Route = {
  name: 'https',
  match: routeMatch({ ...anyRequest, withoutHeaders: [https] }),
  action: {
    case: 'redirect',
    value: {
      schemeRewriteSpecifier: { case: 'httpsRedirect', value: true },
      responseCode: RedirectCode.MOVED_PERMANENTLY,
    },
  },
};
