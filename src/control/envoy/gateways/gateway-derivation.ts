import type { DerivedCollection } from '../../../derive/collections/derived-collection.ts';
import type { Conditions } from '../../../derive/conflict-collections.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import { conditionsOf } from '../../../derive/mesh-outputs.ts';
import { contribution } from '../../../derive/staged-map.ts';
import type { Part } from '../../../derive/staged-map.ts';
import type { Condition } from '../../../model/workload.ts';
import type { GatewayReport } from '../../gateway-report.ts';
import type { NamedReference } from '../../named-reference.ts';
import type { AttachedRoutes } from '../attached-routes.ts';
import type { Destinations, WaypointResources } from '../destinations.ts';
import type { Grants } from '../grants.ts';
import type { HostChoice } from '../host-choice.ts';
import type { MeshLookups } from '../mesh-lookups.ts';
import type { SecurityParts } from '../security-parts.ts';
import type { WaypointHttp } from '../waypoint-http.ts';
import { createClaims } from './gateway-claims.ts';
import type { GatewayClaims } from './gateway-claims.ts';
import type { GatewayGroup } from './gateway-groups.ts';
import { createReports } from './gateway-reports.ts';
import type { ReportsOfGateway } from './gateway-reports.ts';
import { createGatewayResources } from './gateway-resources.ts';
import { RoutesOfGateways } from './gateway-routes.ts';
import { GatewaySecrets } from './gateway-secrets.ts';
import { GatewayServers } from './gateway-servers.ts';
import { GatewaySites } from './gateway-sites.ts';
import type { GatewaySite } from './gateway-sites.ts';
import { GatewayTopology } from './gateway-topology.ts';
import { createRoutePlaces, createUnselected, createVirtualServicePlaces } from './route-places.ts';
import type { RoutePlaces } from './route-places.ts';
import { SecretsOfGateways } from './secrets-of-gateways.ts';
import type { SecretOfGateway } from './secrets-of-gateways.ts';

export interface GatewayDerivationInputs {
  readonly groups: DerivedCollection<GatewayGroup>;
  readonly grants: Grants;
  readonly lookups: MeshLookups;
  readonly attached: AttachedRoutes;
  readonly security: SecurityParts;
  readonly choice: HostChoice;
  /** Milliseconds since the epoch: certificates end. */
  readonly now: () => number;
  /** Whether Secrets that have neither come nor been told to be missing may still come. */
  readonly awaits: () => boolean;
}

/** What the Envoys of gateways are told, and what is said of the documents that ask for it. */
export class GatewayDerivation {
  readonly sites: DerivedCollection<GatewaySite>;
  readonly #parts: DerivationParts;
  readonly #inputs: GatewayDerivationInputs;
  readonly #servers: GatewayServers;
  readonly #claims: DerivedCollection<GatewayClaims>;
  readonly #secrets: SecretsOfGateways;
  readonly #reports: DerivedCollection<ReportsOfGateway>;
  readonly #places: readonly DerivedCollection<RoutePlaces>[];
  readonly #remarks: readonly DerivedCollection<Conditions>[];

  constructor(parts: DerivationParts, inputs: GatewayDerivationInputs) {
    const { graph } = parts;
    const { groups, grants, lookups, attached, security, choice, now, awaits } = inputs;
    this.#parts = parts;
    this.#inputs = inputs;
    this.#servers = new GatewayServers(parts, grants);
    this.#claims = createClaims(graph, groups, this.#servers, parts.contexts);
    this.#secrets = new SecretsOfGateways(graph, this.#claims, new GatewaySecrets(parts, now, awaits));
    const routes = new RoutesOfGateways(parts, attached, lookups);
    const topology = new GatewayTopology(parts);
    const common = { claims: this.#claims, topology, secrets: this.#secrets, routes };
    this.sites = new GatewaySites(graph, { ...common, groups, security, choice }).collection;
    this.#reports = createReports(graph, common);
    this.#places = createRoutePlaces(graph, { attached, servers: this.#servers, routes });
    this.#remarks = [
      createVirtualServicePlaces(parts, { servers: this.#servers, routes }),
      ...createUnselected(graph, this.#servers, groups),
    ];
  }

  get conditions(): readonly Part<Condition>[] {
    return [
      ...this.#servers.collections.map(conditionsOf),
      conditionsOf(this.sites),
      conditionsOf(this.#reports),
      ...this.#places.map(conditionsOf),
      ...this.#remarks.map(conditionsOf),
    ];
  }

  /** Where routes are attached. */
  get accepted(): readonly Part<Condition>[] {
    return this.#places.map((places) =>
      contribution(places, ({ accepted }) => accepted.map((item) => [JSON.stringify(item), item] as const)),
    );
  }

  /** By resource. */
  get reports(): Part<GatewayReport> {
    return contribution(this.#reports, ({ reports }) => reports);
  }

  /** Secrets and ConfigMaps that servers name, each by the gateway, its own name and who names it. */
  get references(): Part<NamedReference> {
    return contribution(this.#claims, ({ gateway, named }) =>
      named.map((reference) => [`${gateway} ${reference.object} ${reference.by}`, reference] as const),
    );
  }

  /** What is sent but secrets. @param destinations of which the sites are senders */
  resources(destinations: Destinations, http: WaypointHttp): readonly DerivedCollection<WaypointResources>[] {
    const { groups } = this.#inputs;
    return createGatewayResources(this.#parts.graph, { groups, sites: this.sites, destinations, http });
  }

  get secrets(): DerivedCollection<SecretOfGateway> {
    return this.#secrets.resources;
  }
}
