import { addressLength, cidrOf, parseAddress } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';
import { compareAtAddress, isVisibleIn, outranks } from '../model/address-precedence.ts';
import { PrefixTree } from '../model/prefix-tree.ts';
import type { Service, Workload } from '../model/workload.ts';
import type { AddressOwner } from './mesh-view.ts';

interface Owners {
  readonly workloads: Map<string, Workload>;
  readonly services: Map<string, Service>;
}

/** Who answers to an address, and how wide the holes between known addresses are. */
export class AddressIndex {
  readonly #owners = new Map<string, Owners>();
  readonly #known = new PrefixTree();

  /** @returns true where nobody had the address before */
  addWorkload(address: IpAddress, workload: Workload): boolean {
    const { owners, added } = this.#take(address);
    owners.workloads.set(workload.uid, workload);
    return added;
  }

  /** @returns true where nobody has the address any more */
  removeWorkload(address: IpAddress, uid: string): boolean {
    this.#owners.get(address.text)?.workloads.delete(uid);
    return this.#release(address);
  }

  addService(address: IpAddress, key: string, service: Service): boolean {
    const { owners, added } = this.#take(address);
    owners.services.set(key, service);
    return added;
  }

  removeService(address: IpAddress, key: string): boolean {
    this.#owners.get(address.text)?.services.delete(key);
    return this.#release(address);
  }

  ownerOf(address: IpAddress, namespace: string): AddressOwner | null {
    const owners = this.#owners.get(address.text);
    if (owners === undefined) return null;
    const service = bestService(owners.services, namespace);
    const best = bestWorkload(owners.workloads, namespace);
    const workload = service !== null && best !== null && isForeign(best, namespace) ? null : best;
    return workload === null && service === null ? null : { workload, service };
  }

  workloadsAt(address: IpAddress): readonly Workload[] {
    return [...(this.#owners.get(address.text)?.workloads.values() ?? [])];
  }

  /** Somebody answers to the address, if only for those who see him. */
  isKnown(address: IpAddress): boolean {
    return this.#owners.has(address.text);
  }

  holePrefixLength(address: IpAddress): number {
    return this.isKnown(address) ? addressLength(address.family) : this.#known.holePrefixLength(address);
  }

  #take(address: IpAddress): { owners: Owners; added: boolean } {
    const known = this.#owners.get(address.text);
    if (known !== undefined) return { owners: known, added: false };
    const owners: Owners = { workloads: new Map(), services: new Map() };
    this.#owners.set(address.text, owners);
    this.#known.insert(cidrOf(address, addressLength(address.family)));
    return { owners, added: true };
  }

  #release(address: IpAddress): boolean {
    const owners = this.#owners.get(address.text);
    if (owners === undefined || owners.workloads.size > 0 || owners.services.size > 0) return false;
    this.#owners.delete(address.text);
    this.#known.remove(cidrOf(address, addressLength(address.family)));
    return true;
  }
}

/** The addresses by which a workload is found: none for one that shares its node's address. */
export function indexedAddresses(workload: Workload | null): readonly IpAddress[] {
  return workload === null || workload.hostNetwork ? [] : parsedAddresses(workload.addresses);
}

export function parsedAddresses(texts: readonly string[]): readonly IpAddress[] {
  return texts.flatMap((text) => parseAddress(text) ?? []);
}

function bestWorkload(workloads: ReadonlyMap<string, Workload>, namespace: string): Workload | null {
  let best: Workload | null = null;
  for (const workload of workloads.values()) {
    if (best === null || outranks(workload, best, namespace)) best = workload;
  }
  return best;
}

/** What is written in a namespace takes no address from what another namespace has there. */
function isForeign({ podUid, namespace: own }: Workload, namespace: string): boolean {
  return podUid === null && own !== namespace;
}

function bestService(services: ReadonlyMap<string, Service>, namespace: string): Service | null {
  const visible = [...services.values()].filter((service) => isVisibleIn(service, namespace));
  const [best] = visible.sort((left, right) => compareAtAddress(left, right, namespace));
  return best ?? null;
}
