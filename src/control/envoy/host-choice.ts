import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { Read } from '../../derive/collections/derived-collection.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import type { MeshLookups } from './mesh-lookups.ts';
import { waypointKey } from './waypoint-places.ts';
import type { WaypointPlaces } from './waypoint-places.ts';

/** Which of several services with one hostname a waypoint knows by it: Envoy's names hold no namespace. */
export class HostChoice {
  readonly #lookups: MeshLookups;
  readonly #places: WaypointPlaces;

  constructor(lookups: MeshLookups, places: WaypointPlaces) {
    this.#lookups = lookups;
    this.#places = places;
  }

  /** What whoever asks has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    return [...this.#lookups.collections, ...this.#places.collections];
  }

  /**
   * The Service whose own name it is, for nobody else may speak in that; else the oldest that is bound to the waypoint; else the
   * one that everybody sees.
   */
  at(waypoint: string, hostname: string, read: Read): ServiceSource | undefined {
    const sources = this.#lookups.sourcesOf(hostname, read);
    const isOwn = ({ service }: ServiceSource): boolean => {
      const found = service.waypoint === null ? null : this.#places.at(service.waypoint, read);
      return found !== null && waypointKey(found) === waypoint;
    };
    const named = sources.find(({ kind }) => kind === 'Service');
    return named ?? sources.find(isOwn) ?? sources.find(({ service }) => service.canonical) ?? sources[0];
  }
}
