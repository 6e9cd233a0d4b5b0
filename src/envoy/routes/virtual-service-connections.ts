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

/** Rules for TLS by name come before those for any connection, as in Istio. */
export function convertConnections(conversion: ConnectionsConversion): readonly ConnectionRule[] {
  const { tls, tcp } = conversion.document.spec;
  return [
    ...tls.flatMap((route, index) => tlsRules(route, `spec.tls[${index}]`, conversion)),
    ...tcp.flatMap((route, index) => tcpRules(route, `spec.tcp[${index}]`, conversion)),
  ];
}

function tlsRules(route: VirtualTlsRoute, field: string, conversion: ConnectionsConversion): readonly ConnectionRule[] {
  const matches = route.match.filter((match, index) => concerns(match, `${field}.match[${index}]`, conversion));
  if (matches.length === 0) return [];
  const targets = targetsOf(route.route, field, conversion);
  return [{ name: nameOf(field, conversion), serverNames: matches.flatMap(({ sniHosts }) => sniHosts), targets }];
}

function tcpRules(route: VirtualTcpRoute, field: string, conversion: ConnectionsConversion): readonly ConnectionRule[] {
  const matches = route.match.filter((match, index) => concerns(match, `${field}.match[${index}]`, conversion));
  if (route.match.length > 0 && matches.length === 0) return [];
  return [{ name: nameOf(field, conversion), serverNames: [], targets: targetsOf(route.route, field, conversion) }];
}

type ConnectionMatch = VirtualTcpRoute['match'][number] | VirtualTlsRoute['match'][number];

/** A match that asks for more than can be seen never holds: what it guards goes to nobody by mistake. */
function concerns(match: ConnectionMatch, field: string, { port, notes }: ConnectionsConversion): boolean {
  const unseen = [
    ...(match.destinationSubnets.length > 0 ? ['destinationSubnets'] : []),
    ...(Object.keys(match.sourceLabels).length > 0 ? ['sourceLabels'] : []),
    ...(match.sourceNamespace === null ? [] : ['sourceNamespace']),
    ...('sourceSubnet' in match && match.sourceSubnet !== null ? ['sourceSubnet'] : []),
  ];
  for (const name of unseen)
    notes.unsupported(`${field}.${name}`, 'of connections it is not supported: the match never holds');
  if (unseen.length > 0) return false;
  return appliesToMesh(match.gateways) && (match.port === null || match.port === port.number);
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
