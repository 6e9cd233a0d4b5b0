/** An item that was computed from what it has read. */
export interface Reader {
  markStale(): void;
}

/** Who has read one thing, be it there or not. */
export class ReaderSet implements Iterable<Reader> {
  readonly #home: Map<string, ReaderSet>;
  readonly #key: string;
  /** Most things have one reader, and a set of one costs many times what it holds. */
  #readers: Reader | Set<Reader> | null = null;

  constructor(home: Map<string, ReaderSet>, key: string) {
    this.#home = home;
    this.#key = key;
  }

  [Symbol.iterator](): Iterator<Reader> {
    if (this.#readers instanceof Set) return this.#readers.values();
    return (this.#readers === null ? [] : [this.#readers]).values();
  }

  add(reader: Reader): void {
    if (this.#readers === null) this.#readers = reader;
    else if (this.#readers instanceof Set) this.#readers.add(reader);
    else if (this.#readers !== reader) this.#readers = new Set([this.#readers, reader]);
  }

  /** What nobody reads any more is not kept. */
  remove(reader: Reader): void {
    if (this.#readers === reader) this.#readers = null;
    else if (this.#readers instanceof Set) this.#readers.delete(reader);
    if (this.#isEmpty) this.#home.delete(this.#key);
  }

  get #isEmpty(): boolean {
    return this.#readers === null || (this.#readers instanceof Set && this.#readers.size === 0);
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
