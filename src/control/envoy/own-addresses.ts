import { byAge } from '../../config/manifests/age.ts';
import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import type { BoundService } from '../../envoy/model.ts';
import type { AddressOwners } from './address-owners.ts';
import type { AddressClaim } from './bound-services.ts';

/** A service as far as connections to it are concerned: which rules there are for requests is the routes' affair. */
export interface ConnectedService {
  readonly waypoint: string;
  readonly service: BoundService;
  readonly claim: AddressClaim;
  readonly origins: readonly string[];
}

/**
 * Which of its addresses a service has at its waypoint, where connections are told apart by address and port alone: whoever may
 * write an entry could otherwise take what clients of others send to theirs. Of one address only one namespace's services have it:
 * that of the pod whose it is, else that of the service that comes first.
 */
export class OwnAddresses {
  readonly #owners: AddressOwners;
  readonly #entries: DerivationParts['sources']['ServiceEntry'];
  readonly #byAddress: CollectionIndex<ConnectedService>;

  constructor({ sources }: DerivationParts, owners: AddressOwners, connected: DerivedCollection<ConnectedService>) {
    this.#owners = owners;
    this.#entries = sources.ServiceEntry;
    this.#byAddress = connected.index(({ waypoint, service }) => [
      ...new Set(service.addresses.map((address) => placeOf(waypoint, address))),
    ]);
  }

  /** What whoever asks has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    return [this.#byAddress.collection, this.#entries, ...this.#owners.collections];
  }

  of(waypoint: string, namespace: string, addresses: readonly string[], read: Read): readonly string[] {
    return addresses.filter((address) => {
      const owner = this.#ownerOf(waypoint, address, read);
      return owner === null || owner === namespace;
    });
  }

  #ownerOf(waypoint: string, address: string, read: Read): string | null {
    const workload = this.#owners.of(address, '', read);
    // What somebody has written down as a workload is no proof that the address is his.
    if (workload !== null && workload.podUid !== null) return workload.namespace;
    const claims = read.byIndex(this.#byAddress, placeOf(waypoint, address)).map(({ claim }) => claim);
    const [first, ...others] = claims;
    if (first === undefined) return null;
    return others.reduce((best, other) => (this.#comesBefore(other, best, read) ? other : best), first).metadata
      .namespace;
  }

  /** Services, then what is within its rights, then what a control plane has chosen, then the oldest. */
  #comesBefore(left: AddressClaim, right: AddressClaim, read: Read): boolean {
    const difference = this.#rank(left, read) - this.#rank(right, read);
    return difference === 0 ? byAge(left, right) < 0 : difference < 0;
  }

  #rank({ kind, confined, metadata }: AddressClaim, read: Read): number {
    if (kind === 'Service') return 0;
    const entry = read.get(this.#entries, `${metadata.namespace}/${metadata.name}`);
    return (confined ? 3 : 1) + (entry?.spec.addresses.length === 0 ? 0 : 1);
  }
}

function placeOf(waypoint: string, address: string): string {
  return `${waypoint} ${address}`;
}
