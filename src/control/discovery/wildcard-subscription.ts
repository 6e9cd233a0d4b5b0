import type { TypeUrl } from '../../wds/names.ts';
import type { ResourceStore, StoreChange } from '../resources/resource-store.ts';
import type { HeldVersions } from './request.ts';
import { Page, stepLength } from './subscription.ts';
import type { Batch, Paging, Subscription } from './subscription.ts';

const mostRemoved = 5000;

/** How far the first pass over everything has come. */
interface FirstPass {
  /** What the client holds from a former stream; null once it was compared. */
  held: HeldVersions | null;
  /** By slot: 1 for what the client has as it is. Who comes to hold a slot later is dirty. */
  current: Uint8Array;
  /** What the client had and there was no more when it was compared. */
  readonly gone: string[];
  /** Goes on while the store changes: what was taken out is skipped, what came in stands at the end. */
  readonly names: MapIterator<string>;
}

/** All resources of a type. What the client has is not kept, only what it has yet to get: memory follows the changes. */
export class WildcardSubscription implements Subscription {
  readonly #store: ResourceStore;
  readonly #type: TypeUrl;
  readonly #paging: Paging;
  /** null once everything was sent. */
  #first: FirstPass | null;
  #dirty = new Set<string>();
  /** Names that were asked for and nobody has, until they are answered: as many as a client thinks of. */
  readonly #absent = new Set<string>();

  constructor(store: ResourceStore, type: TypeUrl, paging: Paging, held: HeldVersions) {
    this.#store = store;
    this.#type = type;
    this.#paging = paging;
    this.#first = { held, current: new Uint8Array(), gone: [], names: store.names(type) };
  }

  get size(): number {
    return this.#absent.size;
  }

  get pending(): boolean {
    return this.bulk || this.#dirty.size > 0 || this.#absent.size > 0;
  }

  get bulk(): boolean {
    return this.#first !== null;
  }

  /** During the first pass too: what changes may have been looked at already. */
  note(changes: readonly StoreChange[]): void {
    for (const { type, name } of changes) if (type === this.#type) this.#dirty.add(name);
  }

  /** Whoever names a resource gets it again, also where nothing has changed: it may have dropped it meanwhile. */
  subscribe(names: readonly string[]): void {
    for (const key of names) {
      const resolved = this.#store.resolve(this.#type, key);
      if (resolved.size === 0) this.#absent.add(key);
      for (const name of resolved) this.#dirty.add(name);
    }
  }

  unsubscribe(): void {
    // The wildcard still wants them.
  }

  *collect(): Generator<undefined, Batch> {
    const first = this.#first;
    if (first === null) return this.#collectDirty();
    if (first.held !== null) yield* this.#compare(first, first.held);
    return yield* this.#collectFirst(first);
  }

  /** In one step: a name that changes in between must not be in a response twice. */
  #collectDirty(): Batch {
    const page = new Page(this.#paging);
    const removed: string[] = [];
    for (const name of this.#absent) {
      if (removed.length >= mostRemoved) break;
      this.#absent.delete(name);
      // It may have appeared since: then it is among what has changed.
      if (this.#store.get(this.#type, name) === null) removed.push(name);
    }
    for (const name of this.#dirty) {
      if (page.full || removed.length >= mostRemoved) break;
      this.#dirty.delete(name);
      const resource = this.#store.get(this.#type, name);
      if (resource === null) removed.push(name);
      else page.add(resource.entry);
    }
    return { entries: page.entries, removed, complete: !this.pending };
  }

  *#compare(first: FirstPass, held: HeldVersions): Generator<undefined, void> {
    let looked = 0;
    const current = new Uint8Array(this.#store.slots);
    while (held.next()) {
      const { name } = held;
      const resource = this.#store.get(this.#type, name);
      if (resource === null) first.gone.push(name);
      // Out of bounds where it appeared meanwhile: then it is sent again.
      else if (resource.slot !== null && held.hasVersion(resource.version)) current[resource.slot] = 1;
      if (++looked % stepLength === 0) yield;
    }
    first.current = current;
    first.held = null;
  }

  *#collectFirst(first: FirstPass): Generator<undefined, Batch> {
    const page = new Page(this.#paging);
    let looked = 0;
    while (this.#paging.whole || !page.full) {
      const { done, value: name } = first.names.next();
      if (done === true) return this.#finish(first, page);
      this.#take(name, first, page);
      if (++looked % stepLength === 0) yield;
    }
    return { entries: page.entries, removed: [], complete: false };
  }

  #take(name: string, { current }: FirstPass, page: Page): void {
    const resource = this.#store.get(this.#type, name);
    if (resource === null || current[resource.slot ?? -1] === 1) return;
    // It goes as it is now, with what has changed of it before.
    this.#dirty.delete(name);
    page.add(resource.entry);
  }

  #finish({ gone }: FirstPass, { entries }: Page): Batch {
    this.#first = null;
    // What has come back since it was compared was sent, as everything was.
    const removed = gone.filter((name) => this.#store.get(this.#type, name) === null);
    return { entries, removed, complete: true };
  }
}
