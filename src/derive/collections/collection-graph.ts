import type { AnyCollection, Collection, CollectionDescription } from './collection.ts';
import type { AnyIndex } from './collection-index.ts';
import { DerivedCollection } from './derived-collection.ts';
import type { AnyDerivedCollection, Failure, Read } from './derived-collection.ts';
import type { Touched } from './readers.ts';
import { SourceCollection } from './source-collection.ts';

interface Computation<Value> {
  readonly name: string;
  /** What is looked into beside what it is made from. */
  readonly reads?: readonly AnyCollection[];
  readonly equal?: (left: Value, right: Value) => boolean;
}

export interface Derivation<Input, Value> extends Computation<Value> {
  readonly from: Collection<Input>;
  /** @returns undefined: nothing for this one */
  readonly compute: (input: Input, read: Read, key: string) => Value | undefined;
}

export interface Grouping<Value> extends Computation<Value> {
  /** There is an item for each key that has members enough in them. It is computed again if what it reads changes. */
  readonly from: readonly AnyIndex[];
  /** How many members are enough, in all indexes together; by default one. */
  readonly atLeast?: number;
  /** It looks at the members of its own key, so it is computed again whenever one of them changes: that need not be recorded. */
  readonly ofMembers?: boolean;
  readonly compute: (key: string, read: Read) => Value | undefined;
}

/**
 * Collections that are computed from one another. A transaction is: setting sources, then `settle`. Each collection is
 * settled once, after all that it reads, because it can only name what existed before it.
 */
export class CollectionGraph {
  readonly #sources: AnyCollection[] = [];
  readonly #derived: AnyDerivedCollection[] = [];
  readonly #touched: Touched = new Set();
  readonly #now: () => number;
  #descriptions: readonly CollectionDescription[] = [];

  /** @param now milliseconds since the epoch, for descriptions */
  constructor(now: () => number) {
    this.#now = now;
  }

  source<Value extends object>(name: string): SourceCollection<Value> {
    const source = new SourceCollection<Value>(name, this.#touched);
    this.#sources.push(source);
    return source;
  }

  /** One item for each of another collection. */
  derive<Input, Value>({ from, compute, reads = [], ...common }: Derivation<Input, Value>): DerivedCollection<Value> {
    const derived = new DerivedCollection<Value>(
      {
        ...common,
        inputs: [from, ...reads],
        exists: (key) => from.get(key) !== undefined,
        compute: (key, read) => {
          const input = from.get(key);
          return input === undefined ? undefined : compute(input, read, key);
        },
      },
      this.#touched,
    );
    from.follow(derived);
    this.#derived.push(derived);
    return derived;
  }

  /** One item for each key of indexes. */
  group<Value>({
    from,
    reads = [],
    atLeast = 1,
    ofMembers = false,
    ...common
  }: Grouping<Value>): DerivedCollection<Value> {
    const exists = (key: string): boolean => from.reduce((sum, index) => sum + index.count(key), 0) >= atLeast;
    const inputs = [...new Set([...from.map(({ collection }) => collection), ...reads])];
    const derived = new DerivedCollection<Value>(
      { ...common, inputs, exists, followed: ofMembers ? from : [] },
      this.#touched,
    );
    const when = ofMembers ? 'content' : atLeast === 1 ? 'present' : 'members';
    for (const index of from) index.follow(derived, when);
    this.#derived.push(derived);
    return derived;
  }

  /** Computes what the sources' changes ask for. The caller may let other work run between the steps, but set no source. */
  *settle(): Generator<undefined, readonly Failure[]> {
    const failures: Failure[] = [];
    yield* this.#tellReaders();
    for (const collection of this.#derived) {
      failures.push(...(yield* collection.settle()));
      yield* this.#tellReaders();
    }
    this.#describe();
    return failures;
  }

  /** To be called when the changes of all collections were looked at. */
  forgetChanges(): void {
    for (const collection of this.#derived) collection.forgetChanges();
  }

  /** As of the last transaction that was settled. */
  describe(): readonly CollectionDescription[] {
    return this.#descriptions;
  }

  /** That of all collections. */
  get footprint(): number {
    return [...this.#sources, ...this.#derived].reduce((sum, { footprint }) => sum + footprint, 0);
  }

  /** A thing that everybody reads has many readers. */
  *#tellReaders(): Generator<undefined, void> {
    for (const readers of this.#touched) {
      for (const reader of readers) {
        reader.markStale();
        yield;
      }
    }
    this.#touched.clear();
  }

  #describe(): void {
    const before = new Map(this.#descriptions.map((description) => [description.name, description]));
    const changedAt = (collection: AnyCollection): string | null =>
      collection.takeChanged() ? new Date(this.#now()).toISOString() : (before.get(collection.name)?.changedAt ?? null);
    this.#descriptions = [
      ...this.#sources.map((source) => ({
        name: source.name,
        inputs: [],
        size: source.size,
        recomputed: null,
        changedAt: changedAt(source),
      })),
      ...this.#derived.map((derived) => ({
        name: derived.name,
        inputs: derived.inputs.map(({ name }) => name),
        size: derived.size,
        recomputed: derived.recomputed,
        changedAt: changedAt(derived),
      })),
    ];
  }
}
