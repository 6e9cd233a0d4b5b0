import { isDeepStrictEqual } from 'node:util';
import { Collection } from './collection.ts';
import type { AnyCollection } from './collection.ts';
import type { AnyIndex, CollectionIndex, Follower } from './collection-index.ts';
import type { AnyPresence } from './presence-index.ts';
import type { Reader, ReaderSet, Touched } from './readers.ts';

/** Looks into other collections, and records what was looked at, also what was not there. */
export interface Read {
  get<Value>(collection: Collection<Value>, key: string): Value | undefined;
  /** In the order of their keys. */
  byIndex<Value>(index: CollectionIndex<Value>, key: string): readonly Value[];
  /** Whether any item has the key. */
  has(index: AnyPresence, key: string): boolean;
}

export interface DerivedOptions<Value> {
  readonly name: string;
  /** All that is looked into; they exist already, so nothing can go round in circles. */
  readonly inputs: readonly AnyCollection[];
  /** What is computed for a key; undefined: nothing. Pure but for what it reads. */
  readonly compute: (key: string, read: Read) => Value | undefined;
  /** Whether there is anything to compute for the key. */
  readonly exists: (key: string) => boolean;
  /** Indexes that tell of every change of what has an item's own key, so that reading that is not recorded. */
  readonly followed?: readonly AnyIndex[];
  /** Equal results are no change; by content unless told otherwise. */
  readonly equal?: (left: Value, right: Value) => boolean;
}

/** An item that could not be computed: it stays what it was. */
export interface Failure {
  readonly collection: string;
  readonly key: string;
  readonly error: unknown;
}

/** A derived collection, whatever is in it. */
export interface AnyDerivedCollection extends AnyCollection {
  readonly inputs: readonly AnyCollection[];
  /** How many items were computed so far. */
  readonly recomputed: number;
  settle(): Generator<undefined, readonly Failure[]>;
  forgetChanges(): void;
}

/** Values computed from other collections: one for each key of what they follow. */
export class DerivedCollection<Value> extends Collection<Value> implements Follower, AnyDerivedCollection {
  readonly inputs: readonly AnyCollection[];
  readonly #options: DerivedOptions<Value>;
  readonly #items = new Map<string, Item<Value>>();
  readonly #recorder: Recorder;
  readonly #stale = new Set<string>();
  #size = 0;
  #recomputed = 0;
  /** What was there before the first change; null: nobody wants to know. */
  #changes: Map<string, Value | undefined> | null = null;

  constructor(options: DerivedOptions<Value>, touched: Touched) {
    super(options.name, touched);
    this.#options = options;
    this.inputs = options.inputs;
    this.#recorder = new Recorder(options);
  }

  get(key: string): Value | undefined {
    return this.#items.get(key)?.value;
  }

  get size(): number {
    return this.#size;
  }

  *keys(): Iterable<string> {
    for (const { key, value } of this.#items.values()) if (value !== undefined) yield key;
  }

  get recomputed(): number {
    return this.#recomputed;
  }

  override get footprint(): number {
    return super.footprint + this.#items.size;
  }

  markStale(key: string): void {
    this.#stale.add(key);
  }

  recordChanges(): void {
    this.#changes ??= new Map();
  }

  /** Keys of what has changed since `forgetChanges`, each with what was there before. Kept once `recordChanges` was called. */
  get changes(): ReadonlyMap<string, Value | undefined> {
    return this.#changes ?? new Map();
  }

  forgetChanges(): void {
    if (this.#changes !== null) this.#changes = new Map();
  }

  /** Computes what is stale, item by item. */
  *settle(): Generator<undefined, readonly Failure[]> {
    const failures: Failure[] = [];
    for (const key of this.#stale) {
      if (this.#options.exists(key)) {
        const failure = this.#compute(this.#item(key));
        if (failure !== null) failures.push(failure);
      } else this.#remove(key);
      yield;
    }
    this.#stale.clear();
    return failures;
  }

  #item(key: string): Item<Value> {
    const known = this.#items.get(key);
    if (known !== undefined) return known;
    const made = new Item<Value>(this, key);
    this.#items.set(key, made);
    return made;
  }

  #compute(item: Item<Value>): Failure | null {
    this.#recomputed++;
    this.#recorder.begin(item.key);
    try {
      const after = this.#options.compute(item.key, this.#recorder);
      if (!this.#isEqual(item.value, after)) this.#replace(item, after);
      return null;
    } catch (error) {
      return { collection: this.name, key: item.key, error };
    } finally {
      item.follow(this.#recorder.take(item.reads));
    }
  }

  #remove(key: string): void {
    const item = this.#items.get(key);
    if (item === undefined) return;
    item.follow([]);
    this.#items.delete(key);
    if (item.value !== undefined) this.#replace(item, undefined);
  }

  #replace(item: Item<Value>, after: Value | undefined): void {
    const before = item.value;
    item.value = after;
    this.#size += (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
    if (this.#changes?.has(item.key) === false) this.#changes.set(item.key, before);
    this.publish(item.key, before, after);
  }

  #isEqual(before: Value | undefined, after: Value | undefined): boolean {
    if (before === undefined || after === undefined) return before === after;
    return (this.#options.equal ?? isDeepStrictEqual)(before, after);
  }
}

class Item<Value> implements Reader {
  readonly #home: Follower;
  readonly key: string;
  value: Value | undefined = undefined;
  /** Items that have read the same share one list. */
  reads: readonly ReaderSet[] = [];

  constructor(home: Follower, key: string) {
    this.#home = home;
    this.key = key;
  }

  markStale(): void {
    this.#home.markStale(this.key);
  }

  follow(reads: readonly ReaderSet[]): void {
    if (reads === this.reads) return;
    for (const readers of reads) readers.add(this);
    for (const readers of this.reads) if (!reads.includes(readers)) readers.remove(this);
    this.reads = reads;
  }
}

/** What the item that is being computed has read so far. */
class Recorder implements Read {
  readonly #name: string;
  readonly #inputs: ReadonlySet<object>;
  readonly #followed: readonly AnyIndex[];
  readonly #reads = new Set<ReaderSet>();
  #key = '';
  #last: readonly ReaderSet[] = [];

  constructor({ name, inputs, followed = [] }: Pick<DerivedOptions<unknown>, 'name' | 'inputs' | 'followed'>) {
    this.#name = name;
    this.#inputs = new Set(inputs);
    this.#followed = followed;
  }

  /** @param key of the item that is about to be computed */
  begin(key: string): void {
    this.#key = key;
  }

  get<Value>(collection: Collection<Value>, key: string): Value | undefined {
    this.#check(collection);
    this.#reads.add(collection.readers.of(key));
    return collection.get(key);
  }

  byIndex<Value>(index: CollectionIndex<Value>, key: string): readonly Value[] {
    this.#check(index.collection);
    if (key !== this.#key || !this.#followed.includes(index)) this.#reads.add(index.readers.of(key));
    return index.values(key);
  }

  has(index: AnyPresence, key: string): boolean {
    this.#check(index.collection);
    this.#reads.add(index.readers.of(key));
    return index.has(key);
  }

  /** Ends the record; a list that holds the same already is given instead of a new one. */
  take(former: readonly ReaderSet[]): readonly ReaderSet[] {
    const known = [former, this.#last].find((list) => this.#isRecord(list));
    const reads = known ?? [...this.#reads];
    this.#reads.clear();
    this.#last = reads;
    return reads;
  }

  #isRecord(list: readonly ReaderSet[]): boolean {
    return list.length === this.#reads.size && list.every((readers) => this.#reads.has(readers));
  }

  #check(collection: object & { readonly name: string }): void {
    if (this.#inputs.has(collection)) return;
    throw new RangeError(`the collection ${this.#name} does not name ${collection.name} among its inputs`);
  }
}
