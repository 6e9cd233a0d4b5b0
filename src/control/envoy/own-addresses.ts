import { byAge } from '../../config/manifests/age.ts';
import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import type { DerivedWorkloads } from '../../derive/service-entry-endpoints.ts';
import type { BoundService } from '../../envoy/model.ts';
import type { Workload } from '../../model/workload.ts';
import type { AddressOwners } from './address-owners.ts';
import type { AddressClaim } from './bound-services.ts';
import { placeKey } from './waypoint-places.ts';

/** A service as far as connections to it are concerned: which rules there are for requests is the routes' affair. */
export interface ConnectedService {
  readonly waypoint: string;
  readonly service: BoundService;
  readonly claim: AddressClaim;
  readonly origins: readonly string[];
}

type Metadata = AddressClaim['metadata'];

interface RankedClaim {
  /** The lowest comes first. */
  readonly rank: number;
  readonly metadata: Metadata;
}

/** Of a Service; of what has an address from a control plane; of what has written one; more for what is not within its rights. */
const ranks = { service: 0, chosen: 1, written: 2, confined: 2 } as const;

/**
 * Which of its addresses a service or a workload has at its waypoint, where connections are told apart by address and port alone: whoever
 * may write an entry could otherwise take what clients of others send to theirs. One namespace has all ports of an address: that
 * of the pod whose it is, else that of the service or entry that comes first.
 */
export class OwnAddresses {
  readonly #owners: AddressOwners;
  readonly #sources: Pick<DerivationParts['sources'], 'ServiceEntry' | 'WorkloadEntry'>;
  readonly #waypoints: DerivationParts['contexts']['waypoints'];
  readonly #services: CollectionIndex<ConnectedService>;
  readonly #written: readonly CollectionIndex<DerivedWorkloads>[];

  constructor(parts: DerivationParts, owners: AddressOwners, connected: DerivedCollection<ConnectedService>) {
    this.#owners = owners;
    this.#sources = parts.sources;
    this.#waypoints = parts.contexts.waypoints;
    this.#services = connected.index(({ waypoint, service }) => [
      ...new Set(service.addresses.map((address) => placeOf(waypoint, address))),
    ]);
    this.#written = parts.workloads.external.map((collection) =>
      collection.index(({ workloads }) => [...new Set(workloads.flatMap(placesOf))]),
    );
  }

  /** What whoever asks has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    const { ServiceEntry, WorkloadEntry } = this.#sources;
    const written = this.#written.map(({ collection }) => collection);
    const own = [this.#services.collection, this.#waypoints, ServiceEntry, WorkloadEntry, ...written];
    return [...new Set([...own, ...this.#owners.collections])];
  }

  ofService(waypoint: string, { namespace, addresses }: BoundService, read: Read): readonly string[] {
    return addresses.filter((address) => this.#ownerOf(waypoint, address, read) === namespace);
  }

  ofWorkload(waypoint: string, { namespace, addresses, podUid }: Workload, read: Read): readonly string[] {
    if (podUid !== null) return addresses;
    return addresses.filter((address) => this.#ownerOf(waypoint, address, read) === namespace);
  }

  #ownerOf(waypoint: string, address: string, read: Read): string | null {
    const workload = this.#owners.of(address, '', read);
    // What somebody has written down as a workload is no proof that the address is his.
    if (workload !== null && workload.podUid !== null) return workload.namespace;
    const [first, ...others] = [
      ...read.byIndex(this.#services, placeOf(waypoint, address)).map(({ claim }) => this.#claimOfService(claim, read)),
      ...this.#writtenAt(waypoint, address, read).map((written) => this.#claimOfWorkload(written, read)),
    ];
    if (first === undefined) return null;
    return others.reduce((best, other) => (comesBefore(other, best) ? other : best), first).metadata.namespace;
  }

  #claimOfService({ kind, confined, metadata }: AddressClaim, read: Read): RankedClaim {
    if (kind === 'Service') return { rank: ranks.service, metadata };
    const entry = read.get(this.#sources.ServiceEntry, `${metadata.namespace}/${metadata.name}`);
    const rank = entry?.spec.addresses.length === 0 ? ranks.chosen : ranks.written;
    return { rank: rank + (confined ? ranks.confined : 0), metadata };
  }

  /** As old as what has written it; the name of a workload is that of its document. */
  #claimOfWorkload({ uid, namespace, name }: Workload, read: Read): RankedClaim {
    const { ServiceEntry, WorkloadEntry } = this.#sources;
    const key = `${namespace}/${name}`;
    const document = uid.includes('/WorkloadEntry/') ? read.get(WorkloadEntry, key) : read.get(ServiceEntry, key);
    return { rank: ranks.written, metadata: document?.metadata ?? { namespace, name, creationTimestamp: null } };
  }

  /** Workloads that are no pods, which are reached by the address through the waypoint. */
  #writtenAt(waypoint: string, address: string, read: Read): readonly Workload[] {
    const known = read.get(this.#waypoints, waypoint);
    if (known === undefined) return [];
    const place = placeOf(placeKey(known.place), address);
    return this.#written
      .flatMap((index) => read.byIndex(index, place))
      .flatMap(({ workloads }) => workloads.filter((workload) => placesOf(workload).includes(place)));
  }
}

function comesBefore(left: RankedClaim, right: RankedClaim): boolean {
  return left.rank === right.rank ? byAge(left, right) < 0 : left.rank < right.rank;
}

function placesOf({ waypoint, addresses }: Workload): readonly string[] {
  return waypoint === null ? [] : addresses.map((address) => placeOf(placeKey(waypoint), address));
}

function placeOf(waypoint: string, address: string): string {
  return `${waypoint} ${address}`;
}
