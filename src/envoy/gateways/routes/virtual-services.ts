import type { VirtualServiceDocument } from '../../../config/manifests/schemas/virtual-service.ts';
import type { Condition } from '../../../model/workload.ts';
import type { HttpMatch, HttpRule } from '../../http-rules.ts';
import type { ConnectionRule } from '../../model.ts';
import { isExportedTo } from '../../routes/exports.ts';
import { fullHostname } from '../../routes/hosts.ts';
import { gatewaysNamed } from '../../routes/mesh-gateway.ts';
import { resourceOf } from '../../routes/notes.ts';
import type { ConvertedRoute, MergedRules, RankedRule } from '../../routes/precedence.ts';
import { convertVirtualService } from '../../routes/virtual-service.ts';
import type { GatewayServer } from '../server.ts';
import { isAllowed, sharedHosts } from './allowed.ts';
import { anyHost } from './hostnames.ts';
import type { GatewayLookups } from './lookups.ts';

const kind = 'VirtualService';

/** The Istio Gateways that it is for, as `namespace/name`. */
export function gatewaysOf({ metadata, spec }: VirtualServiceDocument): readonly string[] {
  return gatewaysNamed(spec.gateways, metadata.namespace);
}

/** What a VirtualService says at the servers of one Gateway on one port. */
export interface VirtualRoutes {
  readonly requests: ConvertedRoute;
  /** Of TLS that is passed through, by the names of its clients. */
  readonly byName: ConvertedRoute<ConnectionRule>;
  /** Of every other connection. */
  readonly connections: ConvertedRoute<ConnectionRule>;
  readonly conditions: readonly Condition[];
}

/** @param gateway `namespace/name` */
export function virtualRoutes(
  document: VirtualServiceDocument,
  gateway: string,
  port: number,
  lookups: GatewayLookups,
): VirtualRoutes {
  const place = { number: port, gateway };
  const { spec } = document;
  const convert = (part: Partial<VirtualServiceDocument['spec']>) =>
    convertVirtualService({ ...document, spec: { ...spec, http: [], tls: [], tcp: [], ...part } }, place, lookups);
  const [requests, byName, connections] = [
    convert({ http: spec.http }),
    convert({ tls: spec.tls }),
    convert({ tcp: spec.tcp }),
  ];
  const route = <Rule>(rules: readonly Rule[] | null): ConvertedRoute<Rule> => ({
    ...identityOf(document, lookups.clusterDomain),
    rules: rules ?? [],
    conditions: [],
    lent: [],
  });
  return {
    requests: route(untilCatchAll(requests.rules ?? []).map((rule): RankedRule => ({ rule, rank: [] }))),
    byName: route(byName.connections),
    connections: route(connections.connections),
    conditions: [requests, byName, connections].flatMap(({ conditions }) => conditions),
  };
}

function identityOf(
  { metadata, spec }: VirtualServiceDocument,
  clusterDomain: string,
): Pick<ConvertedRoute, 'kind' | 'name' | 'namespace' | 'created' | 'hostnames'> {
  const { namespace, name, creationTimestamp: created } = metadata;
  const hostnames = spec.hosts.map((host) => (host === anyHost ? host : fullHostname(host, namespace, clusterDomain)));
  return { kind, name: `${namespace}/${name}`, namespace, created, hostnames };
}

/** Whether the server takes it, as far as its namespace and where it is exported to go. @param namespace of the gateway's pods */
export function isVirtualServiceFor(
  document: VirtualServiceDocument,
  server: GatewayServer,
  namespace: string,
  lookups: GatewayLookups,
): boolean {
  const own = document.metadata.namespace;
  if (server.kind !== 'IstioGateway' || document.spec.hosts.length === 0) return false;
  if (!gatewaysOf(document).includes(`${server.namespace}/${server.name}`)) return false;
  return isExportedTo(namespace, document.spec.exportTo, own) && isAllowed(server, { kind, namespace: own }, lookups);
}

/** What comes after a rule for all requests never has its turn. */
function untilCatchAll(rules: readonly HttpRule[]): readonly HttpRule[] {
  const last = rules.findIndex(isCatchAll);
  return last < 0 ? rules : rules.slice(0, last + 1);
}

function isCatchAll({ match }: HttpRule): boolean {
  const { path, method, scheme, authority, headers, withoutHeaders, query, grpc } = match;
  const isAnyPath = path.kind === 'prefix' ? path.value === '/' : path.kind === 'regex' && path.value === '.*';
  const isAsked = [method, scheme, authority].some((asked) => asked !== null) || grpc;
  return isAnyPath && !isAsked && headers.length + withoutHeaders.length + query.length === 0;
}

/**
 * Of one host: the rules of the oldest VirtualService first. What of each is for all requests comes after the rules of all others,
 * as in Istio, so that the parts of a site may be written by several.
 *
 * @param routes in the order of age
 */
export function mergeVirtualServices(routes: readonly ConvertedRoute[], host: string): MergedRules {
  const all = routes.flatMap((route) => route.rules.map(({ rule }) => ({ route, rule })));
  const ordered = [...all.filter(({ rule }) => !isCatchAll(rule)), ...all.filter(({ rule }) => isCatchAll(rule))];
  const first = new Map<string, ConvertedRoute>();
  const conditions: Condition[] = [];
  const rules = ordered.filter(({ route, rule }) => {
    const key = isCatchAll(rule) ? '' : matchKey(rule.match);
    const older = first.get(key) ?? route;
    first.set(key, older);
    if (older.name !== route.name) conditions.push(hidden(route, rule, older, host));
    return older.name === route.name;
  });
  return { rules: rules.map(({ rule }) => rule), conditions };
}

function matchKey({ sourceLabels, ...match }: HttpMatch): string {
  return JSON.stringify([match, [...sourceLabels]]);
}

function hidden(route: ConvertedRoute, rule: HttpRule, older: ConvertedRoute, host: string): Condition {
  // Whoever cannot see a namespace is not told what is in it.
  const who = older.namespace === route.namespace ? `${kind} ${older.name}` : `a ${kind} of another namespace`;
  const what = isCatchAll(rule) ? 'for all other requests' : 'with the same match';
  return {
    resource: `${kind} ${route.name}`,
    type: 'Accepted',
    reason: 'HostConflict',
    message: `its rule ${rule.name} has no effect on ${host}: ${who}, which is older, has one ${what}`,
  };
}

/** What is said of a VirtualService that some of its gateways do not take. @param serversOf null: there is no such Gateway */
export function gatewayConditions(
  document: VirtualServiceDocument,
  serversOf: (gateway: string) => readonly GatewayServer[] | null,
  lookups: GatewayLookups,
): readonly Condition[] {
  const { namespace } = document.metadata;
  const { hostnames } = identityOf(document, lookups.clusterDomain);
  const told = (reason: string, message: string): Condition => ({
    resource: resourceOf(kind, document),
    type: 'Accepted',
    reason,
    message,
  });
  return gatewaysOf(document).flatMap((gateway) => {
    const servers = serversOf(gateway);
    if (servers === null) return [told('NoMatchingParent', `has no effect at ${gateway}: there is no such Gateway`)];
    if (servers.some((server) => sharedHosts(server, { namespace, hostnames }).length > 0)) return [];
    const message = `has no effect at Gateway ${gateway}: none of its hosts is one that a server there has for the namespace ${namespace}`;
    return [told('NoMatchingListenerHostname', message)];
  });
}
