import type { DestinationDocument } from '../../config/manifests/schemas/istio-common.ts';
import type {
  VirtualServiceDocument,
  VirtualTcpRoute,
  VirtualTlsRoute,
} from '../../config/manifests/schemas/virtual-service.ts';
import { parseCidr } from '../../model/address.ts';
import type { ConnectionRule, ConnectionSource, ConnectionTarget, DestinationName } from '../model.ts';
import { matchAppliesTo } from './mesh-gateway.ts';
import type { VirtualPlace } from './mesh-gateway.ts';
import type { Notes } from './notes.ts';
import { isFromMesh, noteUnheardSource } from './virtual-service-match.ts';

export interface ConnectionsConversion {
  readonly document: VirtualServiceDocument;
  readonly place: VirtualPlace;
  readonly notes: Notes;
  readonly resolve: (destination: DestinationDocument, field: string) => DestinationName | null;
}

/** Rules for TLS by name come before those for any connection, as in Istio. null: none speaks of the port. */
export function convertConnections(
  { tls, tcp }: Pick<VirtualServiceDocument['spec'], 'tls' | 'tcp'>,
  conversion: ConnectionsConversion,
): readonly ConnectionRule[] | null {
  const rules = [
    ...tls.flatMap((route, index) => rulesOf(route, route.match, `spec.tls[${index}]`, conversion)),
    ...tcp.flatMap((route, index) => {
      const matches = route.match.length === 0 ? [anyConnection] : route.match;
      return rulesOf(route, matches, `spec.tcp[${index}]`, conversion);
    }),
  ];
  return rules.length === 0 ? null : rules;
}

type ConnectionMatch = VirtualTcpRoute['match'][number] | VirtualTlsRoute['match'][number];

const anyConnection: ConnectionMatch = {
  destinationSubnets: [],
  port: null,
  sourceLabels: {},
  gateways: [],
  sourceNamespace: null,
  sourceSubnet: null,
};

/** One for each match that is for the port. */
function rulesOf(
  { route }: Pick<VirtualTcpRoute, 'route'>,
  matches: readonly ConnectionMatch[],
  field: string,
  conversion: ConnectionsConversion,
): readonly ConnectionRule[] {
  const asked = matches.filter((match, index) => concerns(match, `${field}.match[${index}]`, conversion));
  if (asked.length === 0) return [];
  const targets = targetsOf(route, field, conversion);
  const name = nameOf(field, conversion);
  return asked.map((match) => ({ name, serverNames: namesOf(match), from: sourceOf(match), targets }));
}

function concerns(match: ConnectionMatch, field: string, { document, place, notes }: ConnectionsConversion): boolean {
  const { gateways, port } = match;
  if (!matchAppliesTo(place, gateways, document.metadata.namespace)) return false;
  if (port !== null && port !== place.number) return false;
  if (place.gateway === undefined || !isFromMesh(match)) return true;
  noteUnheardSource(gateways.length === 0 ? document.spec.gateways : gateways, field, notes);
  return false;
}

function namesOf(match: ConnectionMatch): readonly string[] {
  return 'sniHosts' in match ? match.sniHosts : [];
}

function sourceOf(match: ConnectionMatch): ConnectionSource | null {
  const { sourceNamespace: namespace, sourceLabels, destinationSubnets } = match;
  const subnet = 'sourceSubnet' in match ? match.sourceSubnet : null;
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
