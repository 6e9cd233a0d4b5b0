import type { AnyCollection } from '../../../derive/collections/collection.ts';
import type { Read } from '../../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import type { ServiceSource } from '../../../derive/service-sources.ts';
import { ingressLabel } from '../../../derive/waypoints/binding.ts';
import type { WaypointPlaces } from '../waypoint-places.ts';

/** Which services gateways send to by their addresses, so that it goes through their waypoints. */
export class IngressWaypoints {
  readonly #parts: DerivationParts;
  readonly #places: WaypointPlaces;

  constructor(parts: DerivationParts, places: WaypointPlaces) {
    this.#parts = parts;
    this.#places = places;
  }

  get collections(): readonly AnyCollection[] {
    const { Service, ServiceEntry, Namespace } = this.#parts.sources;
    return [Service, ServiceEntry, Namespace, ...this.#places.collections];
  }

  /** The address; null: a gateway sends to the endpoints. */
  addressOf({ service, ...source }: ServiceSource, read: Read): string | null {
    const { waypoint, vips } = service;
    const [address = null] = vips;
    if (waypoint === null || address === null) return null;
    // A waypoint that is not there must be asked, too: it refuses.
    const isRequired = waypoint.required || this.#places.at(waypoint, read)?.required !== false;
    return isRequired || this.#isAsked(source, read) ? address : null;
  }

  #isAsked({ kind, metadata }: Pick<ServiceSource, 'kind' | 'metadata'>, read: Read): boolean {
    const { Service, ServiceEntry, Namespace } = this.#parts.sources;
    const key = `${metadata.namespace}/${metadata.name}`;
    const own = kind === 'ServiceEntry' ? read.get(ServiceEntry, key) : read.get(Service, key);
    const word =
      own?.metadata.labels[ingressLabel] ?? read.get(Namespace, metadata.namespace)?.metadata.labels[ingressLabel];
    return word === 'true';
  }
}
