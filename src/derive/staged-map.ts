import { isDeepStrictEqual } from 'node:util';
import type { Change } from '../model/state-difference.ts';
import type { DerivedCollection } from './collections/derived-collection.ts';

/** One map of the state in force, kept up by what collections change. No two items give the same key at a time. */
export class StagedMap<Value> {
  readonly #parts: readonly Part<Value>[];
  #live = new Map<string, Value>();
  #changes: readonly Change<Value>[] = [];
  /** Stands ready to take the place of an empty map, because filling that takes longer than one slice. */
  #first: Map<string, Value> | null = null;

  constructor(parts: readonly Part<Value>[]) {
    this.#parts = parts;
  }

  /** What is in force: changed by `commit` alone. */
  get live(): ReadonlyMap<string, Value> {
    return this.#live;
  }

  /** Gathers what has changed, with what was gathered before and never put in force. */
  *stage(): Generator<undefined, readonly Change<Value>[]> {
    const next = new Map<string, Value | null>(this.#changes.map(({ key, after }) => [key, after]));
    // First what goes: an entry that moved from one item to another is among both.
    for (const part of this.#parts) {
      for (const key of part.gone()) {
        next.set(key, null);
        yield;
      }
    }
    for (const part of this.#parts) {
      for (const [key, value] of part.come()) {
        next.set(key, value);
        yield;
      }
    }
    this.#changes = yield* this.#compare(next);
    return this.#changes;
  }

  commit(): readonly Change<Value>[] {
    const changes = this.#changes;
    if (this.#first === null) for (const { key, after } of changes) replaceIn(this.#live, key, after);
    else this.#live = this.#first;
    this.#first = null;
    this.#changes = [];
    return changes;
  }

  *#compare(next: ReadonlyMap<string, Value | null>): Generator<undefined, Change<Value>[]> {
    this.#first = this.#live.size === 0 ? new Map() : null;
    const changes: Change<Value>[] = [];
    for (const [key, after] of next) {
      const before = this.#live.get(key) ?? null;
      if (before === after || isDeepStrictEqual(before, after)) continue;
      changes.push({ key, before, after });
      if (after !== null) this.#first?.set(key, after);
      yield;
    }
    return changes;
  }
}

/** A contribution, whatever it is made of: what of it has changed. */
export interface Part<Value> {
  gone(): Iterable<string>;
  come(): Iterable<readonly [string, Value]>;
}

/** What of a collection's values goes into a map, by the map's own keys. */
export function contribution<Item, Value>(
  from: DerivedCollection<Item>,
  entriesOf: (item: Item, key: string) => Iterable<readonly [string, Value]>,
): Part<Value> {
  from.recordChanges();
  return {
    *gone() {
      for (const [item, before] of from.changes) {
        if (before !== undefined) for (const [key] of entriesOf(before, item)) yield key;
      }
    },
    *come() {
      for (const key of from.changes.keys()) {
        const after = from.get(key);
        if (after !== undefined) yield* entriesOf(after, key);
      }
    },
  };
}

function replaceIn<Value>(values: Map<string, Value>, key: string, value: Value | null): void {
  if (value === null) values.delete(key);
  else values.set(key, value);
}
