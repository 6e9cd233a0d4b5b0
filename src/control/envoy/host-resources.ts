import type { AnyCollection, Collection } from '../../derive/collections/collection.ts';
import type { Read } from '../../derive/collections/derived-collection.ts';
import { unknownLocality, condition } from '../../derive/context.ts';
import { matchesLabels } from '../../derive/selectors.ts';
import type { Labels } from '../../derive/selectors.ts';
import { sourceText } from '../../derive/service-sources.ts';
import { buildClusters } from '../../envoy/clusters.ts';
import { buildEndpoints } from '../../envoy/endpoints.ts';
import { gatewayDestinations } from '../../envoy/gateways/destinations.ts';
import type { Destination, Endpoint } from '../../envoy/model.ts';
import type { Condition, Workload } from '../../model/workload.ts';
import { ClusterSchema } from '../../proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import type { HostAtWaypoint, WaypointResources } from './destinations.ts';
import { emptyWaypoint } from './empty-waypoint.ts';
import { refusalsOf } from './endpoint-guard.ts';
import type { EndpointGuard } from './endpoint-guard.ts';
import type { EndpointSource } from './endpoint-source.ts';
import type { BackendPolicies } from './gateways/backend-policies.ts';
import type { GatewayGroup } from './gateways/gateway-groups.ts';
import type { IngressWaypoints } from './gateways/ingress-waypoints.ts';
import { resourceTypes } from './resource-types.ts';
import { waypointResource } from './waypoint-resource.ts';
import type { WaypointResource } from './waypoint-resource.ts';
import type { WaypointTenants } from './waypoint-tenants.ts';

export interface HostResourceInputs {
  readonly endpoints: EndpointSource;
  readonly guard: EndpointGuard;
  readonly tenants: WaypointTenants;
  readonly gateways: Collection<GatewayGroup>;
  readonly ingress: IngressWaypoints;
  readonly backends: BackendPolicies;
  /** Namespaces whose workloads a gateway sends to. */
  readonly sentTo: (gateway: string, read: Read) => readonly string[];
}

/** Where the traffic to a host goes. */
interface Ends {
  readonly destinations: readonly Destination[];
  /** Workloads that nobody has written down. */
  readonly pods: readonly Workload[];
  readonly conditions: readonly Condition[];
}

interface UsedDestinations {
  readonly destinations: readonly Destination[];
  /** Manifests besides those of the host. */
  readonly more: readonly string[];
}

/** Clusters and endpoints of hosts. */
export class HostResources {
  readonly #inputs: HostResourceInputs;

  constructor(inputs: HostResourceInputs) {
    this.#inputs = inputs;
  }

  get collections(): readonly AnyCollection[] {
    const { endpoints, guard, tenants, gateways, ingress, backends } = this.#inputs;
    return [gateways, ...[endpoints, guard, tenants, ingress, backends].flatMap(({ collections }) => collections)];
  }

  of(host: HostAtWaypoint, read: Read): WaypointResources {
    const { guard, gateways, ingress, tenants, sentTo } = this.#inputs;
    const { waypoint, source, locality, origins } = host;
    const isGateway = read.get(gateways, waypoint) !== undefined;
    const address = isGateway ? ingress.addressOf(source, read) : null;
    const ends = address !== null ? throughWaypoint(host, address) : this.#straight(host, isGateway, read);
    const addresses = ends.destinations.flatMap(({ endpoints }) => endpoints.list.map((endpoint) => endpoint.address));
    const others = () => (isGateway ? sentTo(waypoint, read) : tenants.of(waypoint, read));
    const refused = guard.refused({ waypoint, source, addresses, pods: ends.pods, tenants: others }, read);
    const forbiddenAddresses = new Set(refused.map((endpoint) => endpoint.address));
    const { destinations, more } = this.#used(host, ends, isGateway, read);
    const input = { ...emptyWaypoint, destinations, locality, forbiddenAddresses };
    const all = [...origins, ...more];
    const resources = [...clustersOf(input, all), ...endpointsOf(input, all)];
    return { waypoint, resources, conditions: [...refusalsOf(source, refused), ...ends.conditions] };
  }

  /** With the policies that say more of how a gateway uses them. */
  #used({ source }: HostAtWaypoint, { destinations }: Ends, isGateway: boolean, read: Read): UsedDestinations {
    if (!isGateway) return { destinations, more: [] };
    const secured = this.#inputs.backends.secured(source, gatewayDestinations(destinations), read);
    return { destinations: secured.destinations, more: secured.origins };
  }

  #straight({ source, destinations, waypoint }: HostAtWaypoint, isGateway: boolean, read: Read): Ends {
    const { endpoints } = this.#inputs;
    const workloads = endpoints.workloadsOf(source, read);
    const complete = destinations.map(({ destination, labels }): Destination => {
      const chosen = labels === null ? workloads : workloads.filter(hasLabels(labels, endpoints, read));
      return { ...destination, endpoints: endpoints.endpointsOf(source, destination.port, chosen, read) };
    });
    const pods = workloads.filter(({ podUid }) => podUid !== null);
    if (!isGateway || source.service.loadBalancing.mode !== 'passthrough')
      return { destinations: complete, pods, conditions: [] };
    const message = `the gateway ${waypoint} sends nothing to ${source.service.hostname}, which has no endpoints of its own: a client of a gateway does not say where it is`;
    return {
      destinations: complete,
      pods,
      conditions: [condition(sourceText(source), 'Accepted', 'NoEndpoints', message)],
    };
  }
}

/** The engine leads there what goes to the service's own address. */
function throughWaypoint({ destinations }: HostAtWaypoint, address: string): Ends {
  const at = (port: number): Endpoint => ({
    address,
    port,
    healthy: true,
    weight: 1,
    locality: unknownLocality,
    labels: null,
  });
  const led = destinations.map(({ destination }): Destination => ({
    ...destination,
    endpoints: { kind: 'known', list: [at(destination.port)] },
  }));
  return { destinations: led, pods: [], conditions: [] };
}

function clustersOf(input: Parameters<typeof buildClusters>[0], origins: readonly string[]): WaypointResource[] {
  return buildClusters(input).map((cluster) =>
    waypointResource(resourceTypes.clusters, ClusterSchema, cluster.name, cluster, origins),
  );
}

function endpointsOf(input: Parameters<typeof buildEndpoints>[0], origins: readonly string[]): WaypointResource[] {
  return buildEndpoints(input).map((assignment) =>
    waypointResource(resourceTypes.endpoints, ClusterLoadAssignmentSchema, assignment.clusterName, assignment, origins),
  );
}

function hasLabels(labels: Labels, endpoints: EndpointSource, read: Read): (workload: Workload) => boolean {
  return (workload) => matchesLabels(labels, endpoints.labelsOf(workload, read));
}
