import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import { resourceText } from '../../derive/context.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { limited } from '../../derive/limited.ts';
import { matchesLabels } from '../../derive/selectors.ts';
import type { Labels } from '../../derive/selectors.ts';
import { sourceText } from '../../derive/service-sources.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import { buildClusters } from '../../envoy/clusters.ts';
import { buildEndpoints } from '../../envoy/endpoints.ts';
import { defaultTrafficPolicy } from '../../envoy/model.ts';
import type { Destination, TrafficPolicy } from '../../envoy/model.ts';
import { convertDestinationRule } from '../../envoy/routes/destination-rule.ts';
import type { ConvertedDestinationRule } from '../../envoy/routes/destination-rule.ts';
import type { Condition, Locality, Workload } from '../../model/workload.ts';
import { ClusterSchema } from '../../proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import type { ServiceAtWaypoint } from './bound-services.ts';
import { refusalsOf } from './endpoint-guard.ts';
import type { EndpointGuard } from './endpoint-guard.ts';
import type { EndpointSource } from './endpoint-source.ts';
import type { HostedRules } from './hosted-rules.ts';
import type { HostChoice } from './host-choice.ts';
import { resourceTypes } from './resource-types.ts';
import { emptyWaypoint } from './empty-waypoint.ts';
import type { WaypointPlaces } from './waypoint-places.ts';
import { waypointResource } from './waypoint-resource.ts';
import type { WaypointResource } from './waypoint-resource.ts';

/** How a waypoint uses one host: all of its ports and subsets, without their endpoints. */
export interface HostAtWaypoint {
  readonly waypoint: string;
  readonly source: ServiceSource;
  readonly locality: Locality;
  readonly destinations: readonly DestinationOfHost[];
  readonly origins: readonly string[];
  readonly conditions: readonly Condition[];
}

interface DestinationOfHost {
  readonly destination: Destination;
  /** Of the endpoints those that have them all; null: every one. */
  readonly labels: Labels | null;
}

/** Resources of one waypoint that were made of one item. */
export interface WaypointResources {
  readonly waypoint: string;
  readonly resources: readonly WaypointResource[];
  readonly conditions: readonly Condition[];
}

export interface DestinationInputs {
  readonly choice: HostChoice;
  readonly hosted: HostedRules;
  readonly places: WaypointPlaces;
  readonly bound: DerivedCollection<ServiceAtWaypoint>;
  readonly endpoints: EndpointSource;
  readonly guard: EndpointGuard;
}

/** By waypoint and hostname: what rules send to. */
export class Destinations {
  readonly hosts: DerivedCollection<HostAtWaypoint>;
  readonly resources: DerivedCollection<WaypointResources>;
  readonly #byWaypoint: CollectionIndex<HostAtWaypoint>;

  constructor(parts: DerivationParts, inputs: DestinationInputs) {
    const { graph, contexts } = parts;
    const { choice, hosted, bound, endpoints, guard } = inputs;
    const named = bound.index(({ waypoint, hostnames }) => hostnames.map((hostname) => hostKey(waypoint, hostname)));
    this.hosts = graph.group<HostAtWaypoint>({
      name: 'hosts at waypoints',
      from: [named],
      reads: [...choice.collections, ...hosted.collections, ...contexts.collections],
      compute: (key, read) => hostAtWaypoint(key, inputs, parts, read),
    });
    this.#byWaypoint = this.hosts.index(({ waypoint }) => [waypoint]);
    this.resources = graph.derive<HostAtWaypoint, WaypointResources>({
      name: 'clusters of waypoints',
      from: this.hosts,
      reads: [...endpoints.collections, ...guard.collections],
      compute: (host, read) => resourcesOf(host, inputs, read),
    });
  }

  /** Without endpoints: what a listener or a route has to know of where it sends to. */
  ofHosts(waypoint: string, hostnames: readonly string[], read: Read): readonly Destination[] {
    return hostnames
      .map((hostname) => read.get(this.hosts, hostKey(waypoint, hostname)))
      .flatMap((host) => host?.destinations.map(({ destination }) => destination) ?? []);
  }

  ofWaypoint(waypoint: string, read: Read): readonly Destination[] {
    const hosts = read.byIndex(this.#byWaypoint, waypoint);
    return hosts.flatMap(({ destinations }) => destinations.map(({ destination }) => destination));
  }
}

function hostKey(waypoint: string, hostname: string): string {
  return `${waypoint} ${hostname}`;
}

function hostAtWaypoint(
  key: string,
  { choice, hosted, places }: DestinationInputs,
  { contexts }: DerivationParts,
  read: Read,
): HostAtWaypoint | undefined {
  const [waypoint = '', hostname = ''] = key.split(' ');
  const source = choice.at(waypoint, hostname, read);
  if (source === undefined) return undefined;
  const { namespace } = source.service;
  const { rootNamespace } = contexts.settingsFor(read);
  const namespaces = [waypoint.split('/')[0] ?? '', namespace, rootNamespace];
  const rule = hosted.destinationRule({ hostname, namespace, namespaces }, read);
  const locality = places.localityOf(waypoint, read);
  const ports = [...source.service.ports.keys()].map((port) => ({
    port,
    converted: rule.document === null ? null : convertDestinationRule(rule.document, port, locality),
  }));
  return {
    waypoint,
    source,
    locality,
    destinations: ports.flatMap(({ port, converted }) => destinationsOf(source, port, converted)),
    origins: [sourceText(source), ...(rule.document === null ? [] : [resourceText('DestinationRule', rule.document)])],
    conditions: limited(unique([...rule.conditions, ...ports.flatMap(({ converted }) => converted?.conditions ?? [])])),
  };
}

function destinationsOf(
  source: ServiceSource,
  port: number,
  converted: ConvertedDestinationRule | null,
): readonly DestinationOfHost[] {
  const { namespace, hostname, appProtocols, loadBalancing } = source.service;
  const of = (subset: string | null, given: TrafficPolicy): Destination => ({
    namespace,
    hostname,
    port,
    subset,
    protocol: appProtocols.get(port) ?? null,
    endpoints: { kind: 'known', list: [] },
    // Such a service has no endpoints of its own: each connection goes where its client meant it to.
    policy: loadBalancing.mode === 'passthrough' ? { ...given, balancer: { kind: 'passthrough' } } : given,
  });
  const subsets = converted?.subsets ?? [];
  return [
    { destination: of(null, converted?.policy ?? defaultTrafficPolicy), labels: null },
    ...subsets.map(({ name, labels, policy }) => ({ destination: of(name, policy), labels })),
  ];
}

function resourcesOf(host: HostAtWaypoint, { endpoints, guard }: DestinationInputs, read: Read): WaypointResources {
  const { waypoint, source, locality, origins } = host;
  const workloads = endpoints.workloadsOf(source, read);
  const complete = host.destinations.map(({ destination, labels }): Destination => {
    const chosen = labels === null ? workloads : workloads.filter(hasLabels(labels, endpoints, read));
    return { ...destination, endpoints: endpoints.endpointsOf(source, destination.port, chosen, read) };
  });
  const addresses = complete.flatMap((destination) => destination.endpoints.list.map(({ address }) => address));
  const pods = workloads.filter(({ podUid }) => podUid !== null);
  const refused = guard.refused({ waypoint, source, addresses, pods }, read);
  const input = {
    ...emptyWaypoint,
    destinations: complete,
    locality,
    forbiddenAddresses: new Set(refused.map(({ address }) => address)),
  };
  const { clusters, endpoints: type } = resourceTypes;
  return {
    waypoint,
    resources: [
      ...buildClusters(input).map((cluster) =>
        waypointResource(clusters, ClusterSchema, cluster.name, cluster, origins),
      ),
      ...buildEndpoints(input).map((assignment) =>
        waypointResource(type, ClusterLoadAssignmentSchema, assignment.clusterName, assignment, origins),
      ),
    ],
    conditions: refusalsOf(source, refused),
  };
}

function hasLabels(labels: Labels, endpoints: EndpointSource, read: Read): (workload: Workload) => boolean {
  return (workload) => matchesLabels(labels, endpoints.labelsOf(workload, read));
}

function unique(conditions: readonly Condition[]): readonly Condition[] {
  return [...new Map(conditions.map((item) => [JSON.stringify(item), item])).values()];
}
