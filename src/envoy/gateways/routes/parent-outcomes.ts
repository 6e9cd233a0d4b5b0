import type { ParentReference } from '../../../config/manifests/schemas/gateway-common.ts';
import type { Condition } from '../../../model/workload.ts';
import { experimentalGroup, gatewayGroup } from '../../routes/groups.ts';
import { parentText } from '../../routes/parents.ts';
import type { ConvertedRoute } from '../../routes/precedence.ts';
import type { GatewayServer } from '../server.ts';
import { isAllowed, isNamespaceAllowed, sharedHosts } from './allowed.ts';
import type { NamespaceLookup } from './lookups.ts';

/** What of a route its place at gateways depends on. */
export type PlacedRoute = Pick<ConvertedRoute<unknown>, 'kind' | 'name' | 'namespace' | 'hostnames'>;

/** What became of a route at one of its parents. */
export interface ParentOutcome {
  readonly parent: ParentReference;
  /** Those that it is attached to; what more of them a closer listener has is not looked at. */
  readonly servers: readonly GatewayServer[];
  /** In the words of the Gateway API; null: some server takes it. */
  readonly refusal: ParentRefusal | null;
}

export interface ParentRefusal {
  readonly reason: 'NoMatchingParent' | 'NotAllowedByListeners' | 'NoMatchingListenerHostname';
  readonly message: string;
}

/** A Gateway or a ListenerSet, as a route names it: `Gateway shop/web`; null: it names something else. */
export function gatewayNamed(
  { group, kind, namespace, name }: Pick<ParentReference, 'group' | 'kind' | 'namespace' | 'name'>,
  routeNamespace: string,
): string | null {
  const isGateway = group === gatewayGroup && (kind === 'Gateway' || kind === 'ListenerSet');
  const isExperiment = group === experimentalGroup && kind === 'XListenerSet';
  return isGateway || isExperiment ? `${kind} ${namespace ?? routeNamespace}/${name}` : null;
}

/** @param serversOf all servers of a Gateway or ListenerSet, on whatever port; null: it is not ours to speak for */
export function parentOutcomes(
  route: PlacedRoute,
  parents: readonly ParentReference[],
  serversOf: (gateway: string) => readonly GatewayServer[] | null,
  lookups: NamespaceLookup,
): readonly ParentOutcome[] {
  return parents.flatMap((parent) => {
    const gateway = gatewayNamed(parent, route.namespace);
    const servers = gateway === null ? null : serversOf(gateway);
    return servers === null ? [] : [parentOutcome(route, parent, servers, lookups)];
  });
}

function parentOutcome(
  route: PlacedRoute,
  parent: ParentReference,
  servers: readonly GatewayServer[],
  lookups: NamespaceLookup,
): ParentOutcome {
  const named = servers.filter((server) => isNamedBy(parent, server));
  const allowing = named.filter((server) => isAllowed(server, route, lookups));
  const taking = allowing.filter((server) => sharedHosts(server, route).length > 0);
  const text = parentText(parent, route.namespace);
  if (taking.length > 0) return { parent, servers: taking, refusal: null };
  return { parent, servers: [], refusal: refusalOf(route, text, { named, allowing, lookups }) };
}

/** Whether the parent means the server, among those of its Gateway. */
export function isNamedBy(
  { sectionName, port }: Pick<ParentReference, 'sectionName' | 'port'>,
  server: Pick<GatewayServer, 'section' | 'port'>,
): boolean {
  return (sectionName === null || sectionName === server.section) && (port === null || port === server.port);
}

interface Candidates {
  readonly named: readonly GatewayServer[];
  readonly allowing: readonly GatewayServer[];
  readonly lookups: NamespaceLookup;
}

function refusalOf(route: PlacedRoute, text: string, { named, allowing, lookups }: Candidates): ParentRefusal {
  if (named.length === 0) return { reason: 'NoMatchingParent', message: `${text}: the Gateway has no such listener` };
  if (allowing.length > 0) {
    const message = `${text}: none of its hostnames is one that a listener has`;
    return { reason: 'NoMatchingListenerHostname', message };
  }
  const isKindTaken = named.some(({ allowed }) => allowed.kinds.includes(route.kind));
  const isOfNamespace = named.some((server) => isNamespaceAllowed(server, route.namespace, lookups));
  const what =
    isKindTaken && !isOfNamespace
      ? `routes of the namespace ${route.namespace}`
      : `a ${route.kind} of ${route.namespace}`;
  return { reason: 'NotAllowedByListeners', message: `${text}: no listener allows ${what}` };
}

/** What is said of a route at its gateways: `refused` of those that do not take it, `accepted` of those that do. */
export interface ParentConditions {
  readonly refused: readonly Condition[];
  readonly accepted: readonly Condition[];
}

export function parentConditions(route: PlacedRoute, outcomes: readonly ParentOutcome[]): ParentConditions {
  const resource = `${route.kind} ${route.name}`;
  const told = outcomes.map(({ parent, servers, refusal }) => {
    const at = parentText(parent, route.namespace);
    const message = `attached to ${[...new Set(servers.map(({ section }) => section))].sort().join(', ')}`;
    const condition = { resource, type: 'Accepted', parent: at };
    return { refusal, condition: { ...condition, ...(refusal ?? { reason: 'Accepted', message }) } };
  });
  return {
    refused: told.flatMap(({ refusal, condition }) => (refusal === null ? [] : [condition])),
    accepted: told.flatMap(({ refusal, condition }) => (refusal === null ? [condition] : [])),
  };
}

/** By `serverKey`: how many routes each server has; a route counts once, however often it names the server. */
export function attachedRoutes(outcomes: readonly (readonly ParentOutcome[])[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const route of outcomes) {
    for (const key of new Set(route.flatMap(({ servers }) => servers.map(serverKey))))
      counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** Of a server among all of a mesh: `Gateway shop/web#http:80`. */
export function serverKey({ resource, section, port }: Pick<GatewayServer, 'resource' | 'section' | 'port'>): string {
  return `${resource}#${section}:${port}`;
}
