import { Slices } from '../../timing/slices.ts';
import type { TypeUrl } from '../../wds/names.ts';
import type { ResourceStore, StoreChange } from '../resources/resource-store.ts';
import { longestResponse } from './subscription.ts';
import type { Batch, Subscription } from './subscription.ts';

type Versions = ReadonlyMap<string, string>;

/** All resources of a type. What the client has is not kept, only what it has yet to get: memory follows the changes. */
export class WildcardSubscription implements Subscription {
  readonly size = 0;
  readonly #store: ResourceStore;
  readonly #type: TypeUrl;
  /** What the client holds from a former stream; null once everything was sent. */
  #initial: Versions | null;
  #dirty = new Set<string>();

  constructor(store: ResourceStore, type: TypeUrl, initial: Versions) {
    this.#store = store;
    this.#type = type;
    this.#initial = initial;
  }

  get pending(): boolean {
    return this.bulk || this.#dirty.size > 0;
  }

  get bulk(): boolean {
    return this.#initial !== null;
  }

  note(changes: readonly StoreChange[]): void {
    // Everything is still to be sent, as it is by then.
    if (this.bulk) return;
    for (const { type, name } of changes) if (type === this.#type) this.#dirty.add(name);
  }

  /** Whoever names a resource gets it again, also where nothing has changed: it may have dropped it meanwhile. */
  subscribe(names: readonly string[]): void {
    for (const key of names) {
      const resolved = this.#store.resolve(this.#type, key);
      if (resolved.size === 0) this.#dirty.add(key);
      for (const name of resolved) this.#dirty.add(name);
    }
  }

  unsubscribe(): void {
    // The wildcard still wants them.
  }

  async collect(): Promise<Batch> {
    const initial = this.#initial;
    this.#initial = null;
    return initial === null ? this.#collectDirty() : this.#collectAll(initial);
  }

  #collectDirty(): Batch {
    const entries: Uint8Array[] = [];
    const removed: string[] = [];
    for (const name of this.#dirty) {
      if (entries.length + removed.length >= longestResponse) break;
      this.#dirty.delete(name);
      const resource = this.#store.get(this.#type, name);
      if (resource === null) removed.push(name);
      else entries.push(resource.entry);
    }
    return { entries, removed };
  }

  /** What changes while this gives way is noted as dirty and sent after it. */
  async #collectAll(initial: Versions): Promise<Batch> {
    const slices = new Slices();
    const entries: Uint8Array[] = [];
    const removed: string[] = [];
    for (const name of this.#store.names(this.#type)) {
      const resource = this.#store.get(this.#type, name);
      if (resource !== null && initial.get(name) !== resource.version) entries.push(resource.entry);
      if (slices.exhausted) await slices.pause();
    }
    for (const name of initial.keys()) {
      if (this.#store.get(this.#type, name) === null) removed.push(name);
      if (slices.exhausted) await slices.pause();
    }
    return { entries, removed };
  }
}
