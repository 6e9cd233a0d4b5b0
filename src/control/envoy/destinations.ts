import type { AnyIndex, CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import { resourceText } from '../../derive/context.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { limited } from '../../derive/limited.ts';
import type { Labels } from '../../derive/selectors.ts';
import { sourceText } from '../../derive/service-sources.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import { defaultTrafficPolicy } from '../../envoy/model.ts';
import type { Destination, TrafficPolicy } from '../../envoy/model.ts';
import { convertDestinationRule } from '../../envoy/routes/destination-rule.ts';
import type { ConvertedDestinationRule } from '../../envoy/routes/destination-rule.ts';
import type { Condition, Locality } from '../../model/workload.ts';
import { HostResources } from './host-resources.ts';
import type { HostResourceInputs } from './host-resources.ts';
import type { HostedRules } from './hosted-rules.ts';
import type { HostChoice } from './host-choice.ts';
import type { WaypointPlaces } from './waypoint-places.ts';
import { hasWorkloads } from './waypoint-tenants.ts';
import type { WaypointResource } from './waypoint-resource.ts';

/** A waypoint or gateway, and hosts that it sends to. */
export interface SendsTo {
  readonly waypoint: string;
  readonly hostnames: readonly string[];
}

/** How a waypoint or gateway uses one host: all of its ports and subsets, without their endpoints. */
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

export interface DestinationInputs extends Omit<HostResourceInputs, 'sentTo'> {
  readonly choice: HostChoice;
  readonly hosted: HostedRules;
  readonly places: WaypointPlaces;
  /** Who sends where, by `hostKeys`. */
  readonly named: readonly AnyIndex[];
}

/** By waypoint or gateway, and hostname: what rules send to. */
export class Destinations {
  readonly hosts: DerivedCollection<HostAtWaypoint>;
  readonly resources: DerivedCollection<WaypointResources>;
  readonly #byWaypoint: CollectionIndex<HostAtWaypoint>;

  constructor(parts: DerivationParts, inputs: DestinationInputs) {
    const { graph, contexts } = parts;
    const { choice, hosted, named } = inputs;
    this.hosts = graph.group<HostAtWaypoint>({
      name: 'hosts at waypoints',
      from: named,
      reads: [inputs.gateways, ...choice.collections, ...hosted.collections, ...contexts.collections],
      compute: (key, read) => hostAtWaypoint(key, inputs, parts, read),
    });
    const byWaypoint = this.hosts.index(({ waypoint }) => [waypoint]);
    this.#byWaypoint = byWaypoint;
    const sentTo = (gateway: string, read: Read): readonly string[] => namespacesIn(read.byIndex(byWaypoint, gateway));
    const made = new HostResources({ ...inputs, sentTo });
    this.resources = graph.derive<HostAtWaypoint, WaypointResources>({
      name: 'clusters of waypoints',
      from: this.hosts,
      reads: [this.hosts, ...made.collections],
      compute: (host, read) => made.of(host, read),
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

/** What `Destinations` finds hosts by. */
export function hostKeys({ waypoint, hostnames }: SendsTo): readonly string[] {
  return hostnames.map((hostname) => hostKey(waypoint, hostname));
}

function hostKey(waypoint: string, hostname: string): string {
  return `${waypoint} ${hostname}`;
}

function hostAtWaypoint(
  key: string,
  { choice, hosted, places, gateways }: DestinationInputs,
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
  const isGateway = read.get(gateways, waypoint) !== undefined;
  const ports = [...source.service.ports.keys()].map((port) => ({
    port,
    converted: rule.document === null ? null : convertDestinationRule(rule.document, port, locality),
  }));
  return {
    waypoint,
    source,
    locality,
    destinations: ports.flatMap(({ port, converted }) => destinationsOf(source, port, converted, isGateway)),
    origins: [sourceText(source), ...(rule.document === null ? [] : [resourceText('DestinationRule', rule.document)])],
    conditions: limited(unique([...rule.conditions, ...ports.flatMap(({ converted }) => converted?.conditions ?? [])])),
  };
}

function destinationsOf(
  source: ServiceSource,
  port: number,
  converted: ConvertedDestinationRule | null,
  isGateway: boolean,
): readonly DestinationOfHost[] {
  const { namespace, hostname, appProtocols, loadBalancing } = source.service;
  const of = (subset: string | null, given: TrafficPolicy): Destination => ({
    namespace,
    hostname,
    port,
    subset,
    protocol: appProtocols.get(port) ?? null,
    endpoints: { kind: 'known', list: [] },
    // Such a service has no endpoints of its own: each connection goes where its client meant it to. One of a gateway's means that.
    policy:
      loadBalancing.mode === 'passthrough' && !isGateway ? { ...given, balancer: { kind: 'passthrough' } } : given,
  });
  const subsets = converted?.subsets ?? [];
  return [
    { destination: of(null, converted?.policy ?? defaultTrafficPolicy), labels: null },
    ...subsets.map(({ name, labels, policy }) => ({ destination: of(name, policy), labels })),
  ];
}

/** Of workloads behind the hosts, in their order. */
function namespacesIn(hosts: readonly HostAtWaypoint[]): readonly string[] {
  const spaces = hosts.flatMap(({ source }) => (hasWorkloads(source) ? [source.service.namespace] : []));
  return [...new Set(spaces)].sort();
}

function unique(conditions: readonly Condition[]): readonly Condition[] {
  return [...new Map(conditions.map((item) => [JSON.stringify(item), item])).values()];
}
