import type { DestinationDocument } from '../../config/manifests/schemas/istio-common.ts';
import type {
  VirtualServiceDocument,
  VirtualTcpRoute,
  VirtualTlsRoute,
} from '../../config/manifests/schemas/virtual-service.ts';
import type { ConnectionRule, ConnectionTarget, DestinationName } from '../model.ts';
import { appliesToMesh } from './mesh-gateway.ts';
import type { VirtualPort } from './mesh-gateway.ts';
import type { Notes } from './notes.ts';

export interface ConnectionsConversion {
  readonly document: VirtualServiceDocument;
  readonly port: VirtualPort;
  readonly notes: Notes;
  readonly resolve: (destination: DestinationDocument, field: string) => DestinationName | null;
}

/** Rules for TLS by name come before those for any connection, as in Istio. null: none speaks of the port. */
export function convertConnections(
  { tls, tcp }: Pick<VirtualServiceDocument['spec'], 'tls' | 'tcp'>,
  conversion: ConnectionsConversion,
): readonly ConnectionRule[] | null {
  const rules = [
    ...tls.map((route, index) => tlsRules(route, `spec.tls[${index}]`, conversion)),
    ...tcp.map((route, index) => tcpRules(route, `spec.tcp[${index}]`, conversion)),
  ].flatMap((ofRoute) => (ofRoute === null ? [] : [ofRoute]));
  return rules.length === 0 ? null : rules.flat();
}

type RulesOfRoute = readonly ConnectionRule[] | null;

function tlsRules(route: VirtualTlsRoute, field: string, conversion: ConnectionsConversion): RulesOfRoute {
  const matches = matchesOf(route.match, field, conversion);
  if (matches.length === 0) return null;
  const serverNames = matches.flatMap(({ match, seen }) => (seen ? match.sniHosts : []));
  if (serverNames.length === 0) return [];
  return [{ name: nameOf(field, conversion), serverNames, targets: targetsOf(route.route, field, conversion) }];
}

function tcpRules(route: VirtualTcpRoute, field: string, conversion: ConnectionsConversion): RulesOfRoute {
  const matches = matchesOf(route.match, field, conversion);
  if (route.match.length > 0 && matches.length === 0) return null;
  if (route.match.length > 0 && !matches.some(({ seen }) => seen)) return [];
  return [{ name: nameOf(field, conversion), serverNames: [], targets: targetsOf(route.route, field, conversion) }];
}

type ConnectionMatch = VirtualTcpRoute['match'][number] | VirtualTlsRoute['match'][number];

/** Those that are for the port, and whether they can ever hold. */
function matchesOf<Match extends ConnectionMatch>(
  matches: readonly Match[],
  field: string,
  { port, notes }: ConnectionsConversion,
): readonly { readonly match: Match; readonly seen: boolean }[] {
  return matches.flatMap((match, index) => {
    if (!appliesToMesh(match.gateways) || (match.port !== null && match.port !== port.number)) return [];
    return [{ match, seen: isSeen(match, `${field}.match[${index}]`, notes) }];
  });
}

/** A match that asks for more than can be seen never holds: what it guards goes to nobody by mistake. */
function isSeen(match: ConnectionMatch, field: string, notes: Notes): boolean {
  const unseen = [
    ...(match.destinationSubnets.length > 0 ? ['destinationSubnets'] : []),
    ...(Object.keys(match.sourceLabels).length > 0 ? ['sourceLabels'] : []),
    ...(match.sourceNamespace === null ? [] : ['sourceNamespace']),
    ...('sourceSubnet' in match && match.sourceSubnet !== null ? ['sourceSubnet'] : []),
  ];
  for (const name of unseen)
    notes.unsupported(`${field}.${name}`, 'of connections it is not supported: the match never holds');
  return unseen.length === 0;
}

function targetsOf(
  route: VirtualTcpRoute['route'],
  field: string,
  { resolve }: ConnectionsConversion,
): readonly ConnectionTarget[] {
  return route.map(({ destination, weight }, index) => ({
    destination: resolve(destination, `${field}.route[${index}].destination`),
    weight: route.length === 1 ? 1 : (weight ?? 0),
  }));
}

function nameOf(field: string, { document }: ConnectionsConversion): string {
  const { namespace, name } = document.metadata;
  return `${namespace}/${name}/${field.replace('spec.', '')}`;
}
