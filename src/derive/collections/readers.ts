/** An item that was computed from what it has read. */
export interface Reader {
  markStale(): void;
}

/** Who has read one thing, be it there or not. */
export class ReaderSet implements Iterable<Reader> {
  readonly #home: Map<string, ReaderSet>;
  readonly #key: string;
  readonly #readers = new Set<Reader>();

  constructor(home: Map<string, ReaderSet>, key: string) {
    this.#home = home;
    this.#key = key;
  }

  [Symbol.iterator](): Iterator<Reader> {
    return this.#readers.values();
  }

  add(reader: Reader): void {
    this.#readers.add(reader);
  }

  /** What nobody reads any more is not kept. */
  remove(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size === 0) this.#home.delete(this.#key);
  }
}

/** Readers by key. */
export class ReaderSets {
  readonly #sets = new Map<string, ReaderSet>();

  get size(): number {
    return this.#sets.size;
  }

  /** For whoever is about to become a reader. */
  of(key: string): ReaderSet {
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    const made = new ReaderSet(this.#sets, key);
    this.#sets.set(key, made);
    return made;
  }

  find(key: string): ReaderSet | undefined {
    return this.#sets.get(key);
  }
}

/** What has changed in a transaction; those who have read it are told of it later, in slices. */
export type Touched = Set<ReaderSet>;
