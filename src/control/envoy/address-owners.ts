import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { Read } from '../../derive/collections/derived-collection.ts';
import { claimedAddresses } from '../../derive/address-conflicts.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import type { PodWorkload } from '../../derive/pod-collections.ts';
import type { DerivedWorkloads } from '../../derive/service-entry-endpoints.ts';
import { outranks } from '../../model/address-precedence.ts';
import type { Workload } from '../../model/workload.ts';

/** Whose an address is: a pod's, or that of another workload with a tunnel of the mesh. */
export class AddressOwners {
  readonly #pods: CollectionIndex<PodWorkload>;
  readonly #external: readonly CollectionIndex<DerivedWorkloads>[];

  constructor({ workloads: { pods, external } }: DerivationParts) {
    this.#pods = pods.index(({ workload }) => [...new Set(claimedAddresses(workload))]);
    this.#external = external.map((collection) =>
      collection.index(({ workloads }) => [
        ...new Set(workloads.filter(isOfMesh).flatMap(({ addresses }) => addresses)),
      ]),
    );
  }

  get collections(): readonly AnyCollection[] {
    return [this.#pods.collection, ...this.#external.map(({ collection }) => collection)];
  }

  /** The workload that traffic from the namespace to the address goes to; null where it is none's, or one's that the mesh knows nothing more of. */
  of(address: string, namespace: string, read: Read): Workload | null {
    const claimed = [
      ...read.byIndex(this.#pods, address).map(({ workload }) => workload),
      ...this.#external
        .flatMap((index) => read.byIndex(index, address))
        .flatMap(({ workloads }) => workloads.filter((item) => isOfMesh(item) && item.addresses.includes(address))),
    ];
    const [first = null] = claimed.toSorted((left, right) => (outranks(left, right, namespace) ? -1 : 1));
    return first;
  }
}

function isOfMesh({ protocol }: Workload): boolean {
  return protocol === 'hbone';
}
