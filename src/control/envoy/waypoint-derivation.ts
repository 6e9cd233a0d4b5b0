import type { CollectionGraph } from '../../derive/collections/collection-graph.ts';
import type { DerivedCollection } from '../../derive/collections/derived-collection.ts';
import type { DerivationExtension, DerivationParts } from '../../derive/extension.ts';
import { conditionsOf } from '../../derive/mesh-outputs.ts';
import { contribution, StagedMap } from '../../derive/staged-map.ts';
import type { Part } from '../../derive/staged-map.ts';
import { buildClusters } from '../../envoy/clusters.ts';
import { buildFilterChains } from '../../envoy/filter-chains.ts';
import type { BoundService } from '../../envoy/model.ts';
import { buildRoutes } from '../../envoy/routes.ts';
import type { Condition } from '../../model/workload.ts';
import { ClusterSchema } from '../../proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import type { GatewayReport, GatewayReports } from '../gateway-report.ts';
import type { NamedReference } from '../named-reference.ts';
import { AddressOwners } from './address-owners.ts';
import { AttachedRoutes } from './attached-routes.ts';
import { BoundServices } from './bound-services.ts';
import type { ServiceAtWaypoint } from './bound-services.ts';
import { createBoundWorkloads } from './bound-workloads.ts';
import type { WorkloadsAtWaypoint } from './bound-workloads.ts';
import { chainResource } from './chain-resource.ts';
import { Destinations, hostKeys } from './destinations.ts';
import type { WaypointResources } from './destinations.ts';
import { emptyWaypoint } from './empty-waypoint.ts';
import { EndpointGuard } from './endpoint-guard.ts';
import { EndpointSource } from './endpoint-source.ts';
import { BackendPolicies } from './gateways/backend-policies.ts';
import { createBackendRemarks, referencesOf } from './gateways/backend-remarks.ts';
import { GatewayDerivation } from './gateways/gateway-derivation.ts';
import { GatewayGroups } from './gateways/gateway-groups.ts';
import { IngressWaypoints } from './gateways/ingress-waypoints.ts';
import { Grants } from './grants.ts';
import { HostChoice } from './host-choice.ts';
import { HostedRules } from './hosted-rules.ts';
import { createListeners } from './listener-collection.ts';
import { MeshLookups } from './mesh-lookups.ts';
import { hostnamesNamed } from './named-destinations.ts';
import { OwnAddresses } from './own-addresses.ts';
import type { ConnectedService } from './own-addresses.ts';
import { resourceTypes } from './resource-types.ts';
import { routesResource } from './routes-resource.ts';
import { SecurityParts } from './security-parts.ts';
import { WaypointPlaces } from './waypoint-places.ts';
import { WaypointHttp } from './waypoint-http.ts';
import { WaypointTenants } from './waypoint-tenants.ts';
import type { WaypointPods } from './waypoint-places.ts';
import { resourceKey, waypointResource } from './waypoint-resource.ts';
import type { WaypointResource } from './waypoint-resource.ts';
import type { WaypointStore } from './waypoint-store.ts';

export interface WaypointDerivationOptions {
  readonly store: WaypointStore;
  /** Milliseconds since the epoch, by which certificates of gateways begin and end. */
  readonly now: () => number;
  /** Told which Secrets and ConfigMaps are needed; null: all documents come by themselves. */
  readonly follow: ((references: readonly NamedReference[]) => void) | null;
  /** Whether what is followed, and has neither come nor been told to be missing, may still come. */
  readonly awaits: () => boolean;
}

/**
 * What the Envoys of all waypoints and gateways are told, part by part: a change makes anew the resources that depend on it and no other. What
 * has changed comes into force with the rest of the mesh.
 */
export class WaypointDerivation implements DerivationExtension {
  readonly conditions: readonly Part<Condition>[];
  readonly #resources: StagedMap<WaypointResource>;
  readonly #pods: StagedMap<WaypointPods>;
  readonly #reports: StagedMap<GatewayReport>;
  readonly #accepted: StagedMap<Condition>;
  /** Secrets and ConfigMaps that gateways need. */
  readonly #references: StagedMap<NamedReference>;
  readonly #store: WaypointStore;
  readonly #follow: (references: readonly NamedReference[]) => void;

  constructor(parts: DerivationParts, { store, now, follow, awaits }: WaypointDerivationOptions) {
    this.#store = store;
    this.#follow = follow ?? (() => undefined);
    const owners = new AddressOwners(parts);
    const grants = new Grants(parts, owners);
    const lookups = new MeshLookups(parts, grants);
    const routes = new AttachedRoutes(parts, lookups);
    const hosted = new HostedRules(parts, lookups);
    const { groups } = new GatewayGroups(parts);
    const places = new WaypointPlaces(parts, groups);
    const choice = new HostChoice(lookups, places);
    const endpoints = new EndpointSource(parts);
    const security = new SecurityParts(parts, endpoints, groups);
    const bound = new BoundServices(parts, { lookups, choice, routes, hosted, places, security }).collection;
    const connected = connectedServices(parts.graph, bound);
    const own = new OwnAddresses(parts, owners, connected);
    const workloads = createBoundWorkloads(parts, { lookups, choice, places, security, own });
    const gateways = new GatewayDerivation(parts, {
      ...{ groups, grants, lookups, attached: routes, security, choice, now, awaits },
    });
    const tenants = new WaypointTenants(parts);
    const guard = new EndpointGuard(parts, { owners, grants });
    const backends = new BackendPolicies(parts, now);
    const destinations = new Destinations(parts, {
      ...{ choice, hosted, places, endpoints, guard, tenants },
      named: [bound.index(hostKeys), gateways.sites.index(hostKeys)],
      gateways: groups,
      ingress: new IngressWaypoints(parts, places),
      backends,
    });
    const policies = createBackendRemarks(parts, { backends, hosts: destinations.hosts, gateways: groups });
    const http = new WaypointHttp(parts);
    const listeners = createListeners(parts.graph, { connected, workloads, own });
    const made = [
      destinations.resources,
      createRoutes(parts.graph, bound, destinations),
      createDirect(parts.graph, { workloads, destinations, http }),
      createChains(parts.graph, { connected, destinations, http }),
      listeners,
      ...gateways.resources(destinations, http),
    ];
    this.#resources = new StagedMap([...made.map(resourcesOf), resourcesOf(gateways.secrets)]);
    this.#pods = new StagedMap([podsOf(places.pods), podsOf(groups)]);
    this.conditions = [
      ...routes.conditions,
      ...security.conditions,
      conditionsOf(bound),
      conditionsOf(destinations.hosts),
      conditionsOf(destinations.resources),
      conditionsOf(listeners),
      ...hosted.remarks(parts.graph, bound, destinations.hosts).map(conditionsOf),
      ...gateways.conditions,
      conditionsOf(policies),
    ];
    this.#reports = new StagedMap([gateways.reports]);
    this.#accepted = new StagedMap(gateways.accepted);
    this.#references = new StagedMap([gateways.references, referencesOf(policies)]);
  }

  *stage(): Generator<undefined, void> {
    for (const map of [this.#resources, this.#pods, this.#reports, this.#accepted, this.#references])
      yield* map.stage();
  }

  commit(): void {
    this.#store.commit(this.#resources.commit(), this.#pods.commit());
    for (const map of [this.#reports, this.#accepted]) map.commit();
    if (this.#references.commit().length > 0) this.#follow([...this.#references.live.values()]);
  }

  /** What has become of gateways, by the resource of each document. */
  get reports(): GatewayReports {
    return this.#reports.live;
  }

  /** Where routes are attached to gateways. */
  get accepted(): readonly Condition[] {
    return [...this.#accepted.live.values()];
  }
}

function podsOf<Pods extends WaypointPods>(collection: DerivedCollection<Pods>): Part<WaypointPods> {
  return contribution(collection, ({ waypoint, identities, locality }) => [
    [waypoint, { waypoint, identities, locality }],
  ]);
}

function resourcesOf<Made extends WaypointResources>(collection: DerivedCollection<Made>): Part<WaypointResource> {
  return contribution(collection, ({ waypoint, resources }) =>
    resources.map((resource) => [resourceKey(waypoint, resource), resource] as const),
  );
}

/** One by one for each service: a change of a route encodes the routes of its services. */
function createRoutes(
  graph: CollectionGraph,
  bound: DerivedCollection<ServiceAtWaypoint>,
  destinations: Destinations,
): DerivedCollection<WaypointResources> {
  return graph.derive<ServiceAtWaypoint, WaypointResources>({
    name: 'routes of waypoints',
    from: bound,
    reads: [destinations.hosts],
    compute: ({ waypoint, service, hostnames, origins }, read) => {
      if (service === null) return undefined;
      const known = destinations.ofHosts(waypoint, hostnames, read);
      const built = buildRoutes({ ...emptyWaypoint, services: [service], destinations: known });
      const resources = built.map((routes) => routesResource(routes, origins));
      return { waypoint, resources, conditions: [] };
    },
  });
}

interface DirectInputs {
  readonly workloads: DerivedCollection<WorkloadsAtWaypoint>;
  readonly destinations: Destinations;
  readonly http: WaypointHttp;
}

/** What leads to the workloads of each waypoint. */
function createDirect(
  graph: CollectionGraph,
  { workloads, destinations, http }: DirectInputs,
): DerivedCollection<WaypointResources> {
  const byWaypoint = workloads.index(({ waypoint }) => [waypoint]);
  return graph.group<WaypointResources>({
    name: 'ways to workloads',
    from: [byWaypoint],
    ofMembers: true,
    reads: [destinations.hosts, http.settings],
    compute: (waypoint, read) => {
      const workloadsHere = read.byIndex(byWaypoint, waypoint).flatMap((item) => item.workloads);
      const input = { ...emptyWaypoint, http: http.read(read), workloads: workloadsHere };
      const known = { ...input, destinations: destinations.ofWaypoint(waypoint, read) };
      const { clusters } = resourceTypes;
      const resources = [
        ...buildClusters(input).map((cluster) => waypointResource(clusters, ClusterSchema, cluster.name, cluster, [])),
        ...buildFilterChains(known).map((chain) => chainResource(chain, [])),
        ...buildRoutes(known).map((routes) => routesResource(routes, [])),
      ];
      return { waypoint, resources, conditions: [] };
    },
  });
}

/** Without rules for requests, so that these change alone. */
function connectedServices(
  graph: CollectionGraph,
  bound: DerivedCollection<ServiceAtWaypoint>,
): DerivedCollection<ConnectedService> {
  return graph.derive<ServiceAtWaypoint, ConnectedService>({
    name: 'services without rules',
    from: bound,
    compute: ({ waypoint, service, claim, origins }) =>
      service === null || claim === null ? undefined : { waypoint, service: withoutRules(service), claim, origins },
  });
}

interface ChainInputs {
  readonly connected: DerivedCollection<ConnectedService>;
  readonly destinations: Destinations;
  readonly http: WaypointHttp;
}

/** One by one for each service: what is asked of its connections. */
function createChains(
  graph: CollectionGraph,
  { connected, destinations, http }: ChainInputs,
): DerivedCollection<WaypointResources> {
  return graph.derive<ConnectedService, WaypointResources>({
    name: 'filter chains of waypoints',
    from: connected,
    reads: [destinations.hosts, http.settings],
    compute: ({ waypoint, service, origins }, read) => {
      const known = destinations.ofHosts(waypoint, hostnamesNamed(service), read);
      const input = { ...emptyWaypoint, http: http.read(read), services: [service], destinations: known };
      const built = buildFilterChains(input);
      return { waypoint, resources: built.map((chain) => chainResource(chain, origins)), conditions: [] };
    },
  });
}

function withoutRules(service: BoundService): BoundService {
  return { ...service, ports: service.ports.map((port) => ({ ...port, rules: port.rules === null ? null : [] })) };
}
