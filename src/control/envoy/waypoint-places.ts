import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection, Collection } from '../../derive/collections/collection.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import { isRunning, unknownLocality } from '../../derive/context.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { gatewayNameLabel } from '../../derive/waypoints/waypoint.ts';
import type { Waypoint } from '../../derive/waypoints/waypoint.ts';
import type { GatewayGroup } from './gateways/gateway-groups.ts';
import type { PodDocument } from '../../config/manifests/schemas/pod.ts';
import { formatSpiffeId } from '../../model/identity.ts';
import type { Locality, WaypointPlace } from '../../model/workload.ts';

/** Who runs a waypoint or a gateway, and where. */
export interface WaypointPods {
  /** `namespace/name` of its Gateway, and of a gateway without one `namespace/serviceaccount:NAME`. */
  readonly waypoint: string;
  /** SPIFFE ids: whoever shows one of them is a proxy of it. */
  readonly identities: readonly string[];
  /** As far as all of its pods share it. */
  readonly locality: Locality;
}

/** Finds the waypoint that is meant by the place that traffic is led to. */
export class WaypointPlaces {
  readonly pods: DerivedCollection<WaypointPods>;
  readonly #waypoints: DerivationParts['contexts']['waypoints'];
  readonly #gateways: Collection<GatewayGroup>;
  readonly #byPlace: CollectionIndex<Waypoint>;

  constructor({ graph, sources, contexts }: DerivationParts, gateways: Collection<GatewayGroup>) {
    this.#gateways = gateways;
    this.#waypoints = contexts.waypoints;
    this.#byPlace = contexts.waypoints.index(({ place }) => [placeKey(place)]);
    const podsOf = sources.Pod.index(gatewayOf);
    this.pods = graph.derive<Waypoint, WaypointPods>({
      name: 'waypoint pods',
      from: contexts.waypoints,
      reads: [sources.Pod, ...contexts.collections],
      compute: (_waypoint, read, waypoint) => {
        const { settings, localities } = contexts.contextFor(read);
        const pods = read.byIndex(podsOf, waypoint);
        const identities = pods.map(({ metadata: { namespace }, spec: { serviceAccountName: serviceAccount } }) =>
          formatSpiffeId({ trustDomain: settings.trustDomain, namespace, serviceAccount }),
        );
        const known = pods.map(({ spec }) => localities.get(spec.nodeName ?? '') ?? unknownLocality);
        return { waypoint, identities: [...new Set(identities)].sort(), locality: commonLocality(known) };
      },
    });
  }

  /** What whoever asks has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    return [this.#waypoints, this.pods, this.#gateways];
  }

  /** @returns `namespace/name` of the Gateway; null where the place is none's */
  at(place: WaypointPlace, read: Read): Waypoint | null {
    return read.byIndex(this.#byPlace, placeKey(place))[0] ?? null;
  }

  /** Of a gateway, too. */
  localityOf(waypoint: string, read: Read): Locality {
    const pods = read.get(this.pods, waypoint) ?? read.get(this.#gateways, waypoint);
    return pods?.locality ?? unknownLocality;
  }
}

export function waypointKey({ namespace, name }: Pick<Waypoint, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}

export function placeKey(place: WaypointPlace): string {
  return place.kind === 'hostname'
    ? `hostname ${place.namespace}/${place.hostname}`
    : `address ${place.network}/${place.address}`;
}

/** Replicas in several zones are near to none of them. */
export function commonLocality(localities: readonly Locality[]): Locality {
  const [first = unknownLocality, ...others] = localities;
  const region = others.every((other) => other.region === first.region) ? first.region : '';
  const zone = region !== '' && others.every((other) => other.zone === first.zone) ? first.zone : '';
  const subzone = zone !== '' && others.every((other) => other.subzone === first.subzone) ? first.subzone : '';
  return { region, zone, subzone };
}

function gatewayOf(pod: PodDocument): readonly string[] {
  const { namespace, labels } = pod.metadata;
  const name = labels[gatewayNameLabel];
  return name === undefined || !isRunning(pod) ? [] : [`${namespace}/${name}`];
}
