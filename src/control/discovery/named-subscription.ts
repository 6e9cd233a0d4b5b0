import { status } from '@grpc/grpc-js';
import type { TypeUrl } from '../../wds/names.ts';
import { GrpcError } from '../grpc-error.ts';
import type { StoredResource } from '../resources/encoded-resource.ts';
import type { ResourceStore, StoreChange } from '../resources/resource-store.ts';
import type { HeldVersions } from './request.ts';
import { Page, stepLength } from './subscription.ts';
import type { Batch, Paging, Subscription } from './subscription.ts';

/** A resource that the client wants through one or more names. */
interface Wanted {
  /** How many of the subscribed names stand for it. */
  names: number;
  /** What the client has; null: nothing that it was sent or told us of. */
  version: string | null;
}

/** Twice what the largest mesh we have measured has of one type. */
const mostHeld = 200_000;

/** Resources by name: those that the names stand for, and those of the client's own node, which are always sent. */
export class NamedSubscription implements Subscription {
  readonly bulk = false;
  readonly #store: ResourceStore;
  readonly #type: TypeUrl;
  readonly #paging: Paging;
  /** Subscribed names with the resources that each stood for when it was last looked at. */
  readonly #keys = new Map<string, ReadonlySet<string>>();
  readonly #wanted = new Map<string, Wanted>();
  readonly #dirtyKeys = new Set<string>();
  readonly #dirtyNames = new Set<string>();
  /** Names that were asked for explicitly: answered in any case, by the resource or by its absence. */
  readonly #asked = new Set<string>();
  readonly #removed = new Set<string>();
  /** What the client holds from a former stream and no name has claimed yet. */
  #initial = new Map<string, string>();
  /** What the client said, as it came back, that it holds: asking for it by name does not mean that it dropped it. */
  readonly #vouched = new Set<string>();
  #answerDue = true;

  /** @param own names that are subscribed without being asked for. @throws GrpcError where too much is held */
  constructor(store: ResourceStore, type: TypeUrl, paging: Paging, own: readonly string[], held: HeldVersions) {
    this.#store = store;
    this.#type = type;
    this.#paging = paging;
    while (held.next()) this.#hold(held);
    for (const key of own) this.#add(key);
  }

  #hold({ name, version }: HeldVersions): void {
    if (this.#initial.size >= mostHeld)
      throw new GrpcError(status.RESOURCE_EXHAUSTED, `initial_resource_versions names more than ${mostHeld} resources`);
    this.#initial.set(name, version);
  }

  get pending(): boolean {
    return this.#answerDue || this.#dirtyKeys.size > 0 || this.#dirtyNames.size > 0 || this.#removed.size > 0;
  }

  get size(): number {
    return this.#keys.size;
  }

  note(changes: readonly StoreChange[]): void {
    for (const { type, name, keys } of changes) {
      if (type !== this.#type) continue;
      if (this.#wanted.has(name)) this.#dirtyNames.add(name);
      for (const key of keys) if (this.#keys.has(key)) this.#dirtyKeys.add(key);
    }
  }

  subscribe(names: readonly string[]): void {
    for (const key of names) {
      this.#add(key);
      this.#asked.add(key);
    }
  }

  /** The client forgets the resource of that name by itself; what came along with it is taken away by the next response. */
  unsubscribe(names: readonly string[]): void {
    for (const key of names) {
      this.#initial.delete(key);
      this.#vouched.delete(key);
      const resolved = this.#keys.get(key);
      if (resolved === undefined) continue;
      this.#keys.delete(key);
      this.#dirtyKeys.delete(key);
      this.#asked.delete(key);
      for (const name of resolved) this.#release(name);
      // The client has dropped it, although another name of its still wants it.
      this.#forget(key);
    }
  }

  *collect(): Generator<undefined, Batch> {
    this.#answerDue = false;
    for (const key of this.#dirtyKeys) {
      this.#dirtyKeys.delete(key);
      this.#look(key);
      yield;
    }
    const entries = yield* this.#takeEntries();
    return { entries, removed: this.#takeRemoved(), complete: !this.pending };
  }

  #add(key: string): void {
    if (!this.#keys.has(key)) this.#keys.set(key, new Set());
    this.#dirtyKeys.add(key);
  }

  /** Brings up to date what a name stands for. */
  #look(key: string): void {
    const former = this.#keys.get(key);
    if (former === undefined) return;
    const current = new Set(this.#store.resolve(this.#type, key));
    this.#keys.set(key, current);
    for (const name of current) if (!former.has(name)) this.#claim(name);
    for (const name of former) if (!current.has(name)) this.#release(name);
    if (!this.#asked.delete(key)) return;
    if (current.size === 0) this.#removed.add(key);
    for (const name of current) if (!this.#vouched.has(name)) this.#forget(name);
  }

  #claim(name: string): void {
    const wanted = this.#wanted.get(name);
    if (wanted !== undefined) {
      wanted.names++;
      return;
    }
    const held = this.#initial.get(name) ?? null;
    this.#wanted.set(name, { names: 1, version: held });
    if (held !== null) this.#vouched.add(name);
    this.#initial.delete(name);
    this.#removed.delete(name);
    this.#dirtyNames.add(name);
  }

  #release(name: string): void {
    const wanted = this.#wanted.get(name);
    if (wanted === undefined || --wanted.names > 0) return;
    this.#wanted.delete(name);
    this.#dirtyNames.delete(name);
    this.#removed.add(name);
  }

  /** It will be sent again, whatever the client was sent before: it may have dropped it before it asked. */
  #forget(name: string): void {
    const wanted = this.#wanted.get(name);
    if (wanted === undefined) return;
    wanted.version = null;
    this.#dirtyNames.add(name);
  }

  *#takeEntries(): Generator<undefined, readonly string[]> {
    const page = new Page(this.#paging);
    const taken = new Map<string, string>();
    let looked = 0;
    for (const name of this.#dirtyNames) {
      if (page.full) break;
      this.#dirtyNames.delete(name);
      const resource = this.#take(name);
      if (resource !== null) {
        page.add(resource.entry);
        taken.set(name, resource.entry);
      }
      if (++looked % stepLength === 0) yield;
    }
    // What was let go of meanwhile must not be sent and taken away by the same response.
    return [...taken].filter(([name]) => this.#wanted.has(name)).map(([, entry]) => entry);
  }

  /** @returns null where the client has it as it is, or nobody has */
  #take(name: string): StoredResource | null {
    const wanted = this.#wanted.get(name);
    const resource = this.#store.get(this.#type, name);
    if (wanted === undefined || resource === null || wanted.version === resource.version) return null;
    wanted.version = resource.version;
    return resource;
  }

  /** What a former stream held and nothing wants any more goes with the first response. */
  #takeRemoved(): readonly string[] {
    const removed = [...this.#removed, ...[...this.#initial.keys()].filter((name) => !this.#wanted.has(name))];
    this.#removed.clear();
    this.#initial = new Map();
    this.#vouched.clear();
    return removed;
  }
}
