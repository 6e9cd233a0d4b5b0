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
  /** It may be there, and nobody has said so: what is in force of it stays. */
  readonly awaited: boolean;
}

/** Certificates and roots, by what servers say of where they are. */
export class GatewaySecrets {
  readonly #parts: DerivationParts;
  readonly #now: () => number;
  readonly #awaits: () => boolean;

  /** @param now milliseconds since the epoch. @param awaits what has neither come nor been told to be missing may still come */
  constructor(parts: DerivationParts, now: () => number, awaits: () => boolean) {
    this.#parts = parts;
    this.#now = now;
    this.#awaits = awaits;
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
      if (reading !== null) return { name, resource: placeText(place), reading, awaited: false };
      // Another one must not be taken in its place.
      if (this.#isUnanswered(place, read))
        return { name, resource: placeText(place), reading: unanswered, awaited: true };
    }
    // The last one is the Secret itself, which is what the manifest names.
    const [place] = places.slice(-1);
    const resource = place === undefined ? '' : placeText(place);
    const unreadable = read.get(this.#parts.sources.UnreadableObject, resource);
    const problem = unreadable === undefined ? 'is not there' : `cannot be read: ${unreadable.message}`;
    // An API server that starts refuses what it has allowed before.
    return { name, resource, reading: { ok: false, problem }, awaited: unreadable?.reason === 'Forbidden' };
  }

  #isUnanswered(place: SecretPlace, read: Read): boolean {
    return this.#awaits() && read.get(this.#parts.sources.UnreadableObject, placeText(place)) === undefined;
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
}

const unanswered: SecretReading = { ok: false, problem: 'has not been read yet: the API server has not answered' };

/** Also the name by which it is followed. */
export function placeText({ kind, namespace, name }: SecretPlace): string {
  return `${kind} ${namespace}/${name}`;
}
