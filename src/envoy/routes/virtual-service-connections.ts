import type { DestinationDocument } from '../../config/manifests/schemas/istio-common.ts';
import type {
  VirtualServiceDocument,
  VirtualTcpRoute,
  VirtualTlsRoute,
} from '../../config/manifests/schemas/virtual-service.ts';
import { parseCidr } from '../../model/address.ts';
import type { ConnectionRule, ConnectionSource, ConnectionTarget, DestinationName } from '../model.ts';
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
  return rulesOf(route.match.filter(isFor(conversion.port)), route.route, field, conversion);
}

function tcpRules(route: VirtualTcpRoute, field: string, conversion: ConnectionsConversion): RulesOfRoute {
  const matches = route.match.length === 0 ? [anyConnection] : route.match.filter(isFor(conversion.port));
  return rulesOf(matches, route.route, field, conversion);
}

type ConnectionMatch = VirtualTcpRoute['match'][number] | VirtualTlsRoute['match'][number];

const anyConnection: Pick<ConnectionMatch, 'sourceLabels' | 'sourceNamespace' | 'destinationSubnets'> = {
  sourceLabels: {},
  sourceNamespace: null,
  destinationSubnets: [],
};

function isFor(port: VirtualPort): (match: ConnectionMatch) => boolean {
  return ({ gateways, port: asked }) => appliesToMesh(gateways) && (asked === null || asked === port.number);
}

/** null: it does not speak of the port. */
function rulesOf(
  matches: readonly Partial<ConnectionMatch>[],
  route: VirtualTcpRoute['route'],
  field: string,
  conversion: ConnectionsConversion,
): RulesOfRoute {
  if (matches.length === 0) return null;
  const targets = targetsOf(route, field, conversion);
  const name = nameOf(field, conversion);
  return matches.map((match) => ({ name, serverNames: namesOf(match), from: sourceOf(match), targets }));
}

function namesOf(match: Partial<ConnectionMatch>): readonly string[] {
  return 'sniHosts' in match ? (match.sniHosts ?? []) : [];
}

function sourceOf(match: Partial<ConnectionMatch>): ConnectionSource | null {
  const { sourceNamespace: namespace = null, sourceLabels = {}, destinationSubnets = [] } = match;
  const subnet = 'sourceSubnet' in match ? (match.sourceSubnet ?? null) : null;
  const labels = new Map(Object.entries(sourceLabels));
  if (namespace === null && labels.size === 0 && subnet === null && destinationSubnets.length === 0) return null;
  return {
    namespace,
    labels,
    block: subnet === null ? null : block(subnet),
    destinations: destinationSubnets.map(block),
  };
}

/** Read by the schema already, so it parses. */
function block(text: string): string {
  return parseCidr(text)?.text ?? text;
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
