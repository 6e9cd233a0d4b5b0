import type { CollectionGraph } from '../../../derive/collections/collection-graph.ts';
import type { CollectionIndex } from '../../../derive/collections/collection-index.ts';
import type { DerivedCollection, Read } from '../../../derive/collections/derived-collection.ts';
import { condition } from '../../../derive/context.ts';
import { limited } from '../../../derive/limited.ts';
import { sourceText } from '../../../derive/service-sources.ts';
import type { ServiceSource } from '../../../derive/service-sources.ts';
import type { GatewayPort } from '../../../envoy/gateways/model.ts';
import { routedPort } from '../../../envoy/gateways/routes/routed-port.ts';
import type { DestinationName } from '../../../envoy/model.ts';
import type { Condition } from '../../../model/workload.ts';
import type { SendsTo } from '../destinations.ts';
import type { HostChoice } from '../host-choice.ts';
import { isMeantBy } from '../meant-destinations.ts';
import type { SecurityParts } from '../security-parts.ts';
import { serversOfPort } from './gateway-claims.ts';
import type { ClaimedPort, GatewayClaims } from './gateway-claims.ts';
import type { GatewayGroup } from './gateway-groups.ts';
import type { GatewayTopology } from './gateway-topology.ts';
import type { RoutesOfGateways } from './gateway-routes.ts';
import { PortAssembly } from './port-assembly.ts';
import type { SecretsOfGateways } from './secrets-of-gateways.ts';

/** What one port of a gateway's pods serves. */
export interface GatewaySite extends SendsTo {
  readonly port: GatewayPort;
  /** Documents of its servers and of what is asked of clients. */
  readonly documents: readonly string[];
  /** And of its routes. */
  readonly origins: readonly string[];
  readonly conditions: readonly Condition[];
}

export interface SiteInputs {
  readonly groups: DerivedCollection<GatewayGroup>;
  readonly claims: DerivedCollection<GatewayClaims>;
  readonly topology: GatewayTopology;
  readonly secrets: SecretsOfGateways;
  readonly routes: RoutesOfGateways;
  readonly security: SecurityParts;
  readonly choice: HostChoice;
}

/** By gateway and number. */
export class GatewaySites {
  readonly collection: DerivedCollection<GatewaySite>;
  readonly #inputs: SiteInputs;
  readonly #byPort: CollectionIndex<GatewayClaims>;

  constructor(graph: CollectionGraph, inputs: SiteInputs) {
    const { groups, claims, topology, secrets, routes, security, choice } = inputs;
    this.#inputs = inputs;
    this.#byPort = claims.index(({ gateway, ports }) => ports.map(({ number }) => portKey(gateway, number)));
    this.collection = graph.group<GatewaySite>({
      name: 'ports of gateways',
      from: [this.#byPort],
      ofMembers: true,
      reads: [
        groups,
        topology.collection,
        ...[secrets, routes, security, choice].flatMap(({ collections }) => collections),
      ],
      compute: (key, read) => this.#compute(key, read),
    });
  }

  #compute(key: string, read: Read): GatewaySite | undefined {
    const [claims] = read.byIndex(this.#byPort, key);
    const claimed = claims?.ports.find(({ number }) => portKey(claims.gateway, number) === key);
    const group = claims === undefined ? undefined : read.get(this.#inputs.groups, claims.gateway);
    if (claims === undefined || claimed === undefined || group === undefined) return undefined;
    return this.#siteOf(claims, claimed, group, read);
  }

  #siteOf({ gateway, namespace }: GatewayClaims, claimed: ClaimedPort, group: GatewayGroup, read: Read): GatewaySite {
    const { routes, secrets, security, choice, topology } = this.#inputs;
    const servers = serversOfPort(claimed.settled);
    const found = routes.of(servers, read);
    const routed = routedPort({ port: claimed.settled, routes: found, namespace }, routes.lookupsFor(read));
    const others = new Map<string, ServiceSource>();
    const assembly = new PortAssembly({
      number: claimed.number,
      tlsOf: (reference) => secrets.stateOf(gateway, reference, namespace, read),
      guardOf: (origins) => security.ofGateway(group, origins, read),
      isMeant: (name) => isMeant(name, choice.at(gateway, name.hostname, read), others),
      namespace,
    });
    const serves = assembly.serves(routed.serves);
    const { proxyProtocol } = topology.read(read);
    const documents = [...new Set(servers.map(({ resource }) => resource))].sort();
    return {
      waypoint: gateway,
      hostnames: assembly.hostnames,
      port: {
        number: claimed.number,
        hasIpv6: group.hasIpv6,
        proxyProtocol,
        http3: topology.hasHttp3(claimed.settled, read) ? { clientPort: claimed.settled.number } : null,
        serves,
      },
      documents: [...new Set([...documents, ...assembly.guards])],
      origins: [...new Set([...documents, ...assembly.guards, ...assembly.routes])],
      conditions: limited([
        ...routed.conditions,
        ...assembly.conditions,
        ...documents.flatMap((document) => misnamed(document, gateway, others)),
      ]),
    };
  }
}

function portKey(gateway: string, number: number): string {
  return `${gateway} ${number}`;
}

/** @param others is told what the gateway knows instead */
function isMeant(name: DestinationName, known: ServiceSource | undefined, others: Map<string, ServiceSource>): boolean {
  if (known === undefined || isMeantBy(name, known)) return true;
  others.set(name.hostname, known);
  return false;
}

function misnamed(document: string, gateway: string, others: ReadonlyMap<string, ServiceSource>): readonly Condition[] {
  return [...others].map(([hostname, known]) => {
    const message = `what its routes send to ${hostname} is refused: the gateway ${gateway} knows that name as ${sourceText(known)}`;
    return condition(document, 'Accepted', 'HostnameConflict', message);
  });
}
