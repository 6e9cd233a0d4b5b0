import type { AnyCollection } from '../../../derive/collections/collection.ts';
import type { Read } from '../../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import { placesOf, secretResourceName } from '../../../envoy/gateways/secret-names.ts';
import type { SecretPlace } from '../../../envoy/gateways/secret-names.ts';
import { readCertificate, readRoots, readRootsMap } from '../../../envoy/gateways/secret-reading.ts';
import type { SecretReading } from '../../../envoy/gateways/secret-reading.ts';
import type { SecretReference } from '../../../envoy/gateways/server.ts';

/** What a reference of a gateway's server leads to. */
export interface FoundSecret {
  /** Under which Envoy asks for it. */
  readonly name: string;
  /** As conditions name it: `Secret shop/certificate`. */
  readonly resource: string;
  readonly reading: SecretReading;
}

/** Certificates and roots, by what servers say of where they are. */
export class GatewaySecrets {
  readonly #parts: DerivationParts;
  readonly #now: () => number;

  /** @param now milliseconds since the epoch */
  constructor(parts: DerivationParts, now: () => number) {
    this.#parts = parts;
    this.#now = now;
  }

  get collections(): readonly AnyCollection[] {
    const { Secret, ConfigMap, UnreadableObject } = this.#parts.sources;
    return [Secret, ConfigMap, UnreadableObject];
  }

  /** @param own namespace of the gateway's pods */
  find(reference: SecretReference, own: string, read: Read): FoundSecret {
    const name = secretResourceName(reference, own);
    const places = placesOf(reference, own);
    for (const place of places) {
      const reading = this.#read(place, reference.use, name, read);
      if (reading !== null) return { name, resource: placeText(place), reading };
    }
    // The last one is the Secret itself, which is what the manifest names.
    const [place] = places.slice(-1);
    const resource = place === undefined ? '' : placeText(place);
    return { name, resource, reading: { ok: false, problem: this.#whyNot(resource, read) } };
  }

  #read(place: SecretPlace, use: SecretReference['use'], name: string, read: Read): SecretReading | null {
    const { Secret, ConfigMap } = this.#parts.sources;
    const key = `${place.namespace}/${place.name}`;
    const now = this.#now();
    if (place.kind === 'ConfigMap') {
      const map = read.get(ConfigMap, key);
      return map === undefined ? null : readRootsMap(map, name, now);
    }
    const secret = read.get(Secret, key);
    if (secret === undefined) return null;
    return use === 'roots' ? readRoots(secret, name, now) : readCertificate(secret, name, now);
  }

  #whyNot(resource: string, read: Read): string {
    const unreadable = read.get(this.#parts.sources.UnreadableObject, resource);
    return unreadable === undefined ? 'is not there' : `cannot be read: ${unreadable.message}`;
  }
}

/** Also the name by which it is followed. */
export function placeText({ kind, namespace, name }: SecretPlace): string {
  return `${kind} ${namespace}/${name}`;
}
