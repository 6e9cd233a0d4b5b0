import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import { isRunning } from '../../derive/context.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { gatewayNameLabel } from '../../derive/waypoints/waypoint.ts';
import type { Waypoint } from '../../derive/waypoints/waypoint.ts';
import type { PodDocument } from '../../config/manifests/schemas/pod.ts';
import { formatSpiffeId } from '../../model/identity.ts';
import type { Locality, WaypointPlace } from '../../model/workload.ts';

/** Who runs a waypoint, and where. */
export interface WaypointPods {
  /** `namespace/name` of its Gateway. */
  readonly waypoint: string;
  /** SPIFFE ids: whoever shows one of them is a proxy of the waypoint. */
  readonly identities: readonly string[];
  /** As far as all of its pods share it. */
  readonly locality: Locality;
}

/** Finds the waypoint that is meant by the place that traffic is led to. */
export class WaypointPlaces {
  readonly pods: DerivedCollection<WaypointPods>;
  readonly #waypoints: DerivationParts['contexts']['waypoints'];
  readonly #byPlace: CollectionIndex<Waypoint>;

  constructor({ graph, sources, contexts }: DerivationParts) {
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
        const known = pods.map(({ spec }) => localities.get(spec.nodeName ?? '') ?? nowhere);
        return { waypoint, identities: [...new Set(identities)].sort(), locality: common(known) };
      },
    });
  }

  /** What whoever asks has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    return [this.#waypoints, this.pods];
  }

  /** @returns `namespace/name` of the Gateway; null where the place is none's */
  at(place: WaypointPlace, read: Read): Waypoint | null {
    return read.byIndex(this.#byPlace, placeKey(place))[0] ?? null;
  }

  localityOf(waypoint: string, read: Read): Locality {
    return read.get(this.pods, waypoint)?.locality ?? nowhere;
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

const nowhere: Locality = { region: '', zone: '', subzone: '' };

/** Replicas in several zones are near to none of them. */
function common(localities: readonly Locality[]): Locality {
  const [first = nowhere, ...others] = localities;
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
