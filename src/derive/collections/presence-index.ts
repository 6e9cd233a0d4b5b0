import type { AnyCollection, Collection } from './collection.ts';
import { ReaderSets } from './readers.ts';
import type { Touched } from './readers.ts';

/** A presence index, whatever is in it. */
export interface AnyPresence {
  readonly collection: AnyCollection;
  readonly readers: ReaderSets;
  has(key: string): boolean;
}

/** Whether any item of a collection has a key. Who reads it is told when the first one comes and when the last one goes. */
export class PresenceIndex<Value> implements AnyPresence {
  readonly collection: Collection<Value>;
  readonly #keysOf: (value: Value) => readonly string[];
  readonly #counts = new Map<string, number>();
  readonly #readers = new ReaderSets();

  /** @param keysOf a pure function of the value alone, with no key twice */
  constructor(collection: Collection<Value>, keysOf: (value: Value) => readonly string[]) {
    this.collection = collection;
    this.#keysOf = keysOf;
  }

  get footprint(): number {
    return this.#counts.size + this.#readers.size;
  }

  get readers(): ReaderSets {
    return this.#readers;
  }

  has(key: string): boolean {
    return this.#counts.has(key);
  }

  replace(_member: string, before: Value | undefined, after: Value | undefined, touched: Touched): void {
    const former = before === undefined ? [] : this.#keysOf(before);
    const current = after === undefined ? [] : this.#keysOf(after);
    for (const key of current) this.#add(key, 1, touched);
    for (const key of former) this.#add(key, -1, touched);
  }

  #add(key: string, difference: 1 | -1, touched: Touched): void {
    const before = this.#counts.get(key) ?? 0;
    const after = before + difference;
    if (after === 0) this.#counts.delete(key);
    else this.#counts.set(key, after);
    const readers = before === 0 || after === 0 ? this.#readers.find(key) : undefined;
    if (readers !== undefined) touched.add(readers);
  }
}
