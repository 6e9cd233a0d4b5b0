import assert from 'node:assert/strict';

import { tcpRouteSchema, tlsRouteSchema } from '../../../src/config/manifests/schemas/connection-routes.ts';
import { gatewaySchema } from '../../../src/config/manifests/schemas/gateway.ts';
import { grpcRouteSchema } from '../../../src/config/manifests/schemas/grpc-route.ts';
import { httpRouteSchema } from '../../../src/config/manifests/schemas/http-route.ts';
import { ingressSchema } from '../../../src/config/manifests/schemas/ingress.ts';
import { istioGatewaySchema } from '../../../src/config/manifests/schemas/istio-gateway.ts';
import { virtualServiceSchema } from '../../../src/config/manifests/schemas/virtual-service.ts';
import { matchesSelector } from '../../../src/derive/selectors.ts';
import type { GatewayServer } from '../../../src/envoy/gateways/server.ts';
import { gatewayServers } from '../../../src/envoy/gateways/servers/gateway.ts';
import { ingressServers } from '../../../src/envoy/gateways/servers/ingress.ts';
import { istioGatewayServers } from '../../../src/envoy/gateways/servers/istio-gateway.ts';
import { settlePorts } from '../../../src/envoy/gateways/servers/settle-ports.ts';
import type { GatewayRoutes } from '../../../src/envoy/gateways/routes/attachments.ts';
import { coveringPatterns } from '../../../src/envoy/gateways/routes/hostnames.ts';
import type { GatewayLookups } from '../../../src/envoy/gateways/routes/lookups.ts';
import { routedPort } from '../../../src/envoy/gateways/routes/routed-port.ts';
import type { RoutedPort, RoutedTlsSite } from '../../../src/envoy/gateways/routes/routed-port.ts';
import type { HttpMatch, HttpRule, TextMatch } from '../../../src/envoy/http-rules.ts';
import { convertGrpcRoute } from '../../../src/envoy/routes/grpc-route.ts';
import { convertHttpRoute } from '../../../src/envoy/routes/http-route.ts';
import type { RouteLookups } from '../../../src/envoy/routes/lookups.ts';
import { convertTcpRoute } from '../../../src/envoy/routes/tcp-route.ts';
import { convertTlsRoute } from '../../../src/envoy/routes/tls-route.ts';
import type { Condition } from '../../../src/model/workload.ts';
import { lookups, read } from './documents.ts';

/** A manifest by its spec: `name`, `namespace` and what else of metadata there is stand beside it. */
export interface Written {
  readonly name?: string;
  readonly namespace?: string;
  readonly created?: string;
  readonly spec: Readonly<Record<string, unknown>>;
}

export interface Manifests {
  readonly Gateway?: readonly Written[];
  readonly IstioGateway?: readonly Written[];
  readonly Ingress?: readonly Written[];
  readonly HTTPRoute?: readonly Written[];
  readonly GRPCRoute?: readonly Written[];
  readonly TLSRoute?: readonly Written[];
  readonly TCPRoute?: readonly Written[];
  readonly VirtualService?: readonly Written[];
}

export interface Surroundings {
  /** By name, the ports of Services; those of other namespaces are written `namespace/name`. */
  readonly services?: Readonly<Record<string, readonly number[]>>;
  readonly granted?: boolean;
  readonly namespaceLabels?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** By TLS; the host where it is not said. */
  readonly sni?: string;
  readonly port?: number;
}

function metadataOf({ name = 'gateway', namespace = 'default', created = '2026-01-01T00:00:00Z' }: Written) {
  return { name, namespace, creationTimestamp: created };
}

/** A gateway with its routes, as the data say it: what would become of a request or a connection. */
export class Door {
  readonly servers: readonly GatewayServer[];
  readonly routes: GatewayRoutes;
  readonly lookups: GatewayLookups;
  readonly #ports: ReadonlyMap<number, RoutedPort>;

  constructor(manifests: Manifests, surroundings: Surroundings = {}) {
    const { services = { web: [80], other: [80] }, granted = false, namespaceLabels = {} } = surroundings;
    const own = lookups(services, granted);
    const virtual = (manifests.VirtualService ?? []).map(({ spec, ...rest }) =>
      read(virtualServiceSchema, spec, metadataOf({ spec, ...rest })),
    );
    this.lookups = {
      ...own,
      virtualService: (namespace, name) =>
        virtual.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name),
      selectsNamespace: (selector, namespace) => matchesSelector(selector, namespaceLabels[namespace] ?? {}),
    };
    this.routes = { ...routesOf(manifests, this.lookups), virtualServices: virtual };
    this.servers = serversOf(manifests, own);
    const question = { routes: this.routes, namespace: 'default' };
    const { ports } = settlePorts(this.servers);
    this.#ports = new Map(ports.map((port) => [port.number, routedPort({ ...question, port }, this.lookups)]));
  }

  get conditions(): readonly Condition[] {
    return [...this.#ports.values()].flatMap(({ conditions }) => conditions);
  }

  get reasons(): readonly string[] {
    return this.conditions.map(({ resource, reason }) => `${resource} ${reason}`);
  }

  port(number = 80): RoutedPort {
    return this.#ports.get(number) ?? assert.fail(`nothing is served on port ${number}`);
  }

  /** The name of the service that is sent to, `LOCATION` of a redirect, or a status. */
  answer(host: string, asked: Asked = {}): string | number {
    const { path = '/', method = 'GET', headers = {}, sni = host, port = 80 } = asked;
    const { serves } = this.port(port);
    const table = serves.kind === 'tls' ? this.#siteFor(sni, serves.sites)?.serves : serves;
    assert.ok(table?.kind === 'http', `no requests are answered for ${sni} on port ${port}`);
    const found = coveringPatterns(host).flatMap(
      (name) => table.hosts.find(({ domains }) => domains.includes(name)) ?? [],
    );
    const rule = found[0]?.rules.find(({ match }) => isMet(match, { path, method, headers }));
    return rule === undefined ? 404 : outcomeOf(rule);
  }

  /** Names of the services that a connection is sent to; none: it is closed. */
  connected(sni: string | null, port: number): readonly string[] {
    const { serves } = this.port(port);
    const table = serves.kind === 'tls' ? this.#siteFor(sni ?? '*', serves.sites)?.serves : serves;
    if (table === undefined) return [];
    assert.ok(table.kind === 'tcp', `connections on port ${port} are requests`);
    const rule = table.connections.find(({ serverNames }) => isNamed(serverNames, sni));
    return (rule?.targets ?? []).map(({ destination }) => destination?.hostname.split('.')[0] ?? 'nowhere');
  }

  #siteFor(sni: string, sites: readonly RoutedTlsSite[]): RoutedTlsSite | undefined {
    return coveringPatterns(sni)
      .flatMap((name) => sites.find(({ site }) => site.serverNames.includes(name)) ?? [])
      .at(0);
  }
}

function serversOf(manifests: Manifests, own: RouteLookups): readonly GatewayServer[] {
  const { Gateway = [], IstioGateway = [], Ingress = [] } = manifests;
  return [
    ...Gateway.flatMap((written) => {
      const spec = { gatewayClassName: 'istio', ...written.spec };
      return gatewayServers(read(gatewaySchema, spec, metadataOf(written)), own).servers;
    }),
    ...IstioGateway.flatMap((written) => {
      const spec = { selector: { istio: 'ingressgateway' }, ...written.spec };
      return istioGatewayServers(read(istioGatewaySchema, spec, metadataOf(written))).servers;
    }),
    ...Ingress.flatMap((written) => ingressServers(read(ingressSchema, written.spec, metadataOf(written))).servers),
  ];
}

function routesOf(
  { HTTPRoute = [], GRPCRoute = [], TLSRoute = [], TCPRoute = [], Ingress = [] }: Manifests,
  own: RouteLookups,
): Omit<GatewayRoutes, 'virtualServices'> {
  const front = { parentRefs: [{ name: 'gateway' }] };
  const each = <
    Document extends { readonly spec: { readonly parentRefs: GatewayRoutes['requests'][number]['parents'] } },
    Route,
  >(
    written: readonly Written[],
    readOne: (spec: unknown, metadata: ReturnType<typeof metadataOf>) => Document,
    convert: (document: Document, known: RouteLookups) => Route,
  ) =>
    written.map((one) => {
      const document = readOne({ ...front, ...one.spec }, metadataOf({ name: 'route', ...one }));
      return { parents: document.spec.parentRefs, route: convert(document, own) };
    });
  return {
    requests: [
      ...each(HTTPRoute, (spec, metadata) => read(httpRouteSchema, spec, metadata), convertHttpRoute),
      ...each(GRPCRoute, (spec, metadata) => read(grpcRouteSchema, spec, metadata), convertGrpcRoute),
    ],
    connections: [
      ...each(TLSRoute, (spec, metadata) => read(tlsRouteSchema, spec, metadata), convertTlsRoute),
      ...each(TCPRoute, (spec, metadata) => read(tcpRouteSchema, spec, metadata), convertTcpRoute),
    ],
    ingresses: Ingress.map((written) => read(ingressSchema, written.spec, metadataOf(written))),
  };
}

type Request = Required<Pick<Asked, 'path' | 'method' | 'headers'>>;

/** As far as the cases here ask: what Envoy makes of all of it is tested with Envoy. */
function isMet(match: HttpMatch, { path, method, headers }: Request): boolean {
  const isGrpc = headers['content-type']?.startsWith('application/grpc') === true;
  return (
    isPath(match.path, path) &&
    (match.method === null || isText(match.method, method)) &&
    match.headers.every(({ name, value }) => isText(value, headers[name.toLowerCase()] ?? null)) &&
    (!match.grpc || isGrpc)
  );
}

function isPath(asked: HttpMatch['path'], path: string): boolean {
  switch (asked.kind) {
    case 'exact':
      return path === asked.value;
    case 'prefix':
      return path.startsWith(asked.value);
    case 'segments': {
      const value = asked.value.replace(/\/+$/, '');
      return path === value || path.startsWith(`${value}/`);
    }
    case 'regex':
      return new RegExp(`^(?:${asked.value})$`).test(path);
  }
}

function isText(asked: TextMatch, value: string | null): boolean {
  if (value === null) return false;
  switch (asked.kind) {
    case 'present':
      return true;
    case 'exact':
      return value === asked.value;
    case 'prefix':
      return value.startsWith(asked.value);
    case 'suffix':
      return value.endsWith(asked.value);
    case 'regex':
      return new RegExp(`^(?:${asked.value})$`).test(value);
  }
}

function outcomeOf({ action }: HttpRule): string | number {
  switch (action.kind) {
    case 'forward':
      return action.targets.map(({ destination }) => destination?.hostname.split('.')[0] ?? action.missing).join('+');
    case 'redirect':
      return `${action.scheme ?? ''}://${action.host ?? ''}:${action.port ?? ''}`;
    case 'respond':
      return action.status;
  }
}

function isNamed(serverNames: readonly string[], sni: string | null): boolean {
  if (serverNames.length === 0) return true;
  return sni !== null && coveringPatterns(sni).some((name) => serverNames.includes(name));
}

/** A rule of an HTTPRoute or a GRPCRoute that sends to a service of port 80. */
export function to(name: string, rule: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return { backendRefs: [{ name, port: 80 }], ...rule };
}

/** A match of a path and what begins with it. */
export function under(value: string): Readonly<Record<string, unknown>> {
  return { matches: [{ path: { type: 'PathPrefix', value } }] };
}

/** Of the Gateway API, with TLS where the protocol asks for it. */
export function listener(
  name: string,
  hostname: string | null,
  given: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return { name, port: 80, protocol: 'HTTP', ...(hostname === null ? {} : { hostname }), ...given };
}

export const terminated = { tls: { certificateRefs: [{ name: 'certificate' }] } };
