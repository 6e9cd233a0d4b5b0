import { CollectionIndex } from './collection-index.ts';
import type { Follower } from './collection-index.ts';
import { PresenceIndex } from './presence-index.ts';
import { ReaderSets } from './readers.ts';
import type { Touched } from './readers.ts';

/** What a collection tells of itself. */
export interface CollectionDescription {
  readonly name: string;
  /** Names of the collections that it reads; none for a source. */
  readonly inputs: readonly string[];
  readonly size: number;
  /** How many items were computed since the start, equal results included; null for a source. */
  readonly recomputed: number | null;
  /** When an item changed last; null: never. */
  readonly changedAt: string | null;
}

/** A collection, whatever is in it. */
export interface AnyCollection {
  readonly name: string;
  readonly size: number;
  /** How much is kept beside the values, for tests: it must not grow with what has gone. */
  readonly footprint: number;
  /** Whether anything has changed since the last call. */
  takeChanged(): boolean;
}

/** Values by key that others are computed from. */
export abstract class Collection<Value> implements AnyCollection {
  readonly name: string;
  readonly #touched: Touched;
  readonly #readers = new ReaderSets();
  readonly #indexes: (CollectionIndex<Value> | PresenceIndex<Value>)[] = [];
  readonly #followers: Follower[] = [];
  #changed = false;

  constructor(name: string, touched: Touched) {
    this.name = name;
    this.#touched = touched;
  }

  abstract get(key: string): Value | undefined;

  abstract get size(): number;

  abstract keys(): Iterable<string>;

  get readers(): ReaderSets {
    return this.#readers;
  }

  get footprint(): number {
    return this.#readers.size + this.#indexes.reduce((sum, index) => sum + index.footprint, 0);
  }

  /** @param keysOf a pure function of the value alone; to be declared before the first value comes */
  index(keysOf: (value: Value) => readonly string[]): CollectionIndex<Value> {
    const index = new CollectionIndex(this, keysOf);
    this.#indexes.push(index);
    return index;
  }

  /** @param keysOf a pure function of the value alone, with no key twice; to be declared before the first value comes */
  presence(keysOf: (value: Value) => readonly string[]): PresenceIndex<Value> {
    const index = new PresenceIndex(this, keysOf);
    this.#indexes.push(index);
    return index;
  }

  follow(follower: Follower): void {
    this.#followers.push(follower);
  }

  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  protected publish(key: string, before: Value | undefined, after: Value | undefined): void {
    this.#changed = true;
    const readers = this.#readers.find(key);
    if (readers !== undefined) this.#touched.add(readers);
    for (const index of this.#indexes) index.replace(key, before, after, this.#touched);
    for (const follower of this.#followers) follower.markStale(key);
  }
}
