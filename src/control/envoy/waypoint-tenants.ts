import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import type { Workload } from '../../model/workload.ts';
import { placeKey } from './waypoint-places.ts';

interface Tenant {
  /** Of the waypoint. */
  readonly place: string;
  readonly namespace: string;
}

/** Namespaces whose workloads let a waypoint in, because it stands before them. */
export class WaypointTenants {
  readonly #waypoints: DerivationParts['contexts']['waypoints'];
  readonly #tenants: DerivedCollection<Tenant>;
  readonly #byPlace: CollectionIndex<Tenant>;

  constructor({ graph, contexts, services, workloads: { pods, external } }: DerivationParts) {
    this.#waypoints = contexts.waypoints;
    this.#tenants = graph.group<Tenant>({
      name: 'tenants of waypoints',
      from: [
        services.hostnames.index(({ chosen }) => unique(chosen.filter(hasWorkloads).map(({ service }) => service))),
        pods.index(({ workload }) => unique([workload])),
        ...external.map((collection) => collection.index(({ workloads }) => unique(workloads))),
      ],
      compute: readKey,
    });
    this.#byPlace = this.#tenants.index(({ place }) => [place]);
  }

  get collections(): readonly AnyCollection[] {
    return [this.#waypoints, this.#tenants];
  }

  /** In their order. @param waypoint `namespace/name` of the Gateway */
  of(waypoint: string, read: Read): readonly string[] {
    const known = read.get(this.#waypoints, waypoint);
    return known === undefined
      ? []
      : read.byIndex(this.#byPlace, placeKey(known.place)).map(({ namespace }) => namespace);
  }
}

/** An entry that selects nothing leads to what knows of no mesh. */
export function hasWorkloads({ kind, selector }: ServiceSource): boolean {
  return kind === 'Service' || selector !== null;
}

function unique(bound: readonly Pick<Workload, 'namespace' | 'waypoint'>[]): readonly string[] {
  const keys = bound.flatMap(({ namespace, waypoint }) =>
    waypoint === null ? [] : [`${placeKey(waypoint)} ${namespace}`],
  );
  return [...new Set(keys)];
}

/** No namespace has a blank in its name. */
function readKey(key: string): Tenant {
  const end = key.lastIndexOf(' ');
  return { place: key.slice(0, end), namespace: key.slice(end + 1) };
}
