import type { CollectionGraph } from '../../../derive/collections/collection-graph.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import type { DerivedCollection } from '../../../derive/collections/derived-collection.ts';
import { secretResourceName } from '../../../envoy/gateways/secret-names.ts';
import type { NamespaceLookup } from '../../../envoy/gateways/routes/lookups.ts';
import type { GatewayServer, SecretReference } from '../../../envoy/gateways/server.ts';
import { admittedServers } from '../../../envoy/gateways/servers/admission.ts';
import type { ServerConflict } from '../../../envoy/gateways/servers/claims.ts';
import { reservedPorts } from '../../../envoy/gateways/servers/owner.ts';
import { settlePorts } from '../../../envoy/gateways/servers/settle-ports.ts';
import type { SettledPort, Settlement } from '../../../envoy/gateways/servers/settle-ports.ts';
import type { NamedReference } from '../../named-reference.ts';
import { selectsNamespace } from './namespace-selection.ts';
import type { GatewayGroup } from './gateway-groups.ts';
import type { AskedServers, GatewayServers } from './gateway-servers.ts';
import { namedBy, referencesOf } from './named-secrets.ts';

/** What documents ask of one gateway, and which of it is granted, before Secrets and routes are looked at. */
export interface GatewayClaims {
  readonly gateway: string;
  readonly namespace: string;
  readonly asked: readonly AskedServers[];
  readonly ports: readonly ClaimedPort[];
  readonly conflicts: readonly ServerConflict[];
  /** Ports that nothing can listen on as the Service would have it. */
  readonly unavailable: readonly UnavailablePort[];
  /** By the name that Envoy asks by. */
  readonly secrets: ReadonlyMap<string, SecretReference>;
  /** Where these may be, and on whose behalf they are looked for. */
  readonly named: readonly NamedReference[];
}

export interface ClaimedPort {
  /** That the proxies listen on. */
  readonly number: number;
  readonly settled: SettledPort;
}

export interface UnavailablePort {
  /** As servers ask for it. */
  readonly asked: number;
  readonly message: string;
}

/** By gateway. */
export function createClaims(
  graph: CollectionGraph,
  groups: DerivedCollection<GatewayGroup>,
  servers: GatewayServers,
  contexts: DerivationParts['contexts'],
): DerivedCollection<GatewayClaims> {
  return graph.derive<GatewayGroup, GatewayClaims>({
    name: 'claims on gateways',
    from: groups,
    reads: [...servers.collections, ...contexts.collections],
    compute: (group, read) => {
      const asked = servers.of(group, read);
      const { ports, conflicts } = settled(asked, group, {
        selectsNamespace: (selector, namespace) => selectsNamespace(selector, namespace, contexts.contextFor(read)),
      });
      const granted = ports.flatMap(serversOfPort);
      const { claimed, unavailable } = listening(ports, group);
      return {
        gateway: group.waypoint,
        namespace: group.namespace,
        asked,
        ports: claimed,
        conflicts,
        unavailable,
        secrets: secretsOf(granted, group.namespace),
        named: namedBy(granted, group.namespace),
      };
    },
  });
}

/** Conflicts are of servers as they were asked for. */
function settled(asked: readonly AskedServers[], { namespace }: GatewayGroup, lookups: NamespaceLookup): Settlement {
  const all = asked.flatMap((document) => document.servers);
  const { servers, conflicts: refused, given } = admittedServers(all, namespace, lookups);
  const { ports, conflicts } = settlePorts(servers);
  const lost = conflicts.map((conflict) => ({ ...conflict, server: given.get(conflict.server) ?? conflict.server }));
  return { ports, conflicts: [...refused, ...lost] };
}

/** All servers of a port. */
export function serversOfPort({ serves }: SettledPort): readonly GatewayServer[] {
  switch (serves.kind) {
    case 'http':
      return serves.servers;
    case 'tls':
      return serves.sites.flatMap(({ servers }) => servers);
    case 'tcp':
      return [serves.server];
  }
}

/** Of a number that several ports lead to the first one has it; those that a Service leads there come before those that no one leads. */
function listening(
  ports: readonly SettledPort[],
  { targets }: GatewayGroup,
): { readonly claimed: readonly ClaimedPort[]; readonly unavailable: readonly UnavailablePort[] } {
  const claimed = new Map<number, SettledPort>();
  const unavailable: UnavailablePort[] = [];
  const isLed = ({ number }: SettledPort): boolean => targets.has(number);
  for (const settled of [...ports.filter(isLed), ...ports.filter((port) => !isLed(port))]) {
    for (const number of targets.get(settled.number) ?? [settled.number]) {
      const other = claimed.get(number);
      const problem = problemOf(number, other);
      if (problem === null) claimed.set(number, settled);
      else
        unavailable.push({
          asked: settled.number,
          message: `port ${settled.number} leads to ${number} of the gateway’s pods, ${problem}`,
        });
    }
  }
  const sorted = [...claimed].sort(([left], [right]) => left - right);
  return { claimed: sorted.map(([number, settled]) => ({ number, settled })), unavailable };
}

function problemOf(number: number, other: SettledPort | undefined): string | null {
  if (reservedPorts.has(number)) return 'which they need themselves';
  if (number === 0) return 'which has no number';
  return other === undefined ? null : `and so does port ${other.number}, which has it`;
}

function secretsOf(servers: readonly GatewayServer[], namespace: string): GatewayClaims['secrets'] {
  const references = servers.flatMap(referencesOf);
  return new Map(references.map((reference) => [secretResourceName(reference, namespace), reference]));
}
