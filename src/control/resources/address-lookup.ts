import type { Service, Workload } from '../../model/workload.ts';
import type { Change } from '../../model/state-difference.ts';
import { nodeKey, serviceAddressNames, workloadAddressNames } from './address-names.ts';
import { SetIndex } from './set-index.ts';

/**
 * What a name stands for. A workload: itself. A service: itself and its endpoints, because a client that asks for a
 * service is about to choose one of them. An address: whoever has it.
 */
export class AddressLookup {
  readonly #owners = new SetIndex();
  readonly #endpoints = new SetIndex();
  readonly #onNode = new SetIndex();
  readonly #workloads = new Map<string, Workload>();
  readonly #services = new Map<string, Service>();
  #network: string;

  constructor(network: string) {
    this.#network = network;
  }

  get network(): string {
    return this.#network;
  }

  /**
   * Addresses are named by their network, so everything has to be put in anew.
   *
   * @returns what was in, each with the names by which it was found
   */
  restart(network: string): readonly { readonly name: string; readonly keys: readonly string[] }[] {
    const left = [
      ...[...this.#workloads].map(([key, before]) => ({
        name: key,
        keys: this.changeWorkload({ key, before, after: null }),
      })),
      ...[...this.#services].map(([key, before]) => ({
        name: key,
        keys: this.changeService({ key, before, after: null }),
      })),
    ];
    this.#network = network;
    return left;
  }

  workload(uid: string): Workload | null {
    return this.#workloads.get(uid) ?? null;
  }

  resolve(key: string): ReadonlySet<string> {
    const names = new Set<string>(this.#onNode.get(key));
    if (this.#workloads.has(key)) names.add(key);
    if (this.#services.has(key)) this.#addService(key, names);
    for (const owner of this.#owners.get(key)) {
      if (this.#services.has(owner)) this.#addService(owner, names);
      else names.add(owner);
    }
    return names;
  }

  /** @returns the names whose meaning has changed by it */
  changeWorkload({ key, before, after }: Change<Workload>): readonly string[] {
    const former = new Set(before === null ? [] : this.#namesOfWorkload(before));
    const current = new Set(after === null ? [] : this.#namesOfWorkload(after));
    if (before !== null) this.#index(before, 'remove');
    if (after === null) this.#workloads.delete(key);
    else {
      this.#workloads.set(key, after);
      this.#index(after, 'add');
    }
    return difference(former, current);
  }

  /** @returns the names whose meaning has changed by it */
  changeService({ key, before, after }: Change<Service>): readonly string[] {
    const former = new Set(before === null ? [] : [key, ...serviceAddressNames(before, this.#network)]);
    const current = new Set(after === null ? [] : [key, ...serviceAddressNames(after, this.#network)]);
    for (const name of former) this.#owners.remove(name, key);
    for (const name of current) if (name !== key) this.#owners.add(name, key);
    if (after === null) this.#services.delete(key);
    else this.#services.set(key, after);
    return difference(former, current);
  }

  #addService(key: string, names: Set<string>): void {
    names.add(key);
    for (const endpoint of this.#endpoints.get(key)) names.add(endpoint);
  }

  #index(workload: Workload, change: 'add' | 'remove'): void {
    const { uid, node } = workload;
    for (const name of workloadAddressNames(workload, this.#network)) this.#owners[change](name, uid);
    for (const service of workload.services.keys()) this.#endpoints[change](service, uid);
    if (node !== '') this.#onNode[change](nodeKey(node), uid);
  }

  /** All names by which the workload is found. */
  #namesOfWorkload(workload: Workload): readonly string[] {
    const services = [...workload.services.keys()];
    const vips = services.flatMap((key) => {
      const service = this.#services.get(key);
      return service === undefined ? [] : serviceAddressNames(service, this.#network);
    });
    const node = workload.node === '' ? [] : [nodeKey(workload.node)];
    return [workload.uid, ...workloadAddressNames(workload, this.#network), ...services, ...vips, ...node];
  }
}

function difference(left: ReadonlySet<string>, right: ReadonlySet<string>): readonly string[] {
  return [...[...left].filter((name) => !right.has(name)), ...[...right].filter((name) => !left.has(name))];
}
