import type { AnyCollection, Collection } from './collection.ts';
import { ReaderSets } from './readers.ts';
import type { Touched } from './readers.ts';

/** Computes an item for each key of what it follows. */
export interface Follower {
  markStale(key: string): void;
}

/**
 * When a follower is told of a key: as it comes and goes, with every item that takes it or gives it up, or also with every
 * change of an item that has it.
 */
export type FollowWhen = 'present' | 'members' | 'content';

/** An index, whatever is in it. */
export interface AnyIndex {
  readonly collection: AnyCollection;
  /** How many items have the key. */
  count(key: string): number;
  follow(follower: Follower, when: FollowWhen): void;
}

/** The items of a collection by keys of another kind, such as their namespace. */
export class CollectionIndex<Value> implements AnyIndex {
  readonly collection: Collection<Value>;
  readonly #keysOf: (value: Value) => readonly string[];
  /** Most keys of some indexes have one member, and a set of one costs ten times a text. */
  readonly #members = new Map<string, string | Set<string>>();
  readonly #readers = new ReaderSets();
  readonly #followers: { readonly follower: Follower; readonly when: FollowWhen }[] = [];

  /** @param keysOf a pure function of the value alone */
  constructor(collection: Collection<Value>, keysOf: (value: Value) => readonly string[]) {
    this.collection = collection;
    this.#keysOf = keysOf;
  }

  /** Keys of the readers and of the members. */
  get footprint(): number {
    return this.#members.size + this.#readers.size;
  }

  get readers(): ReaderSets {
    return this.#readers;
  }

  count(key: string): number {
    const members = this.#members.get(key);
    if (members === undefined) return 0;
    return typeof members === 'string' ? 1 : members.size;
  }

  /** In the order of their keys in the collection, so that results do not depend on who came first. */
  values(key: string): readonly Value[] {
    const members = this.#members.get(key);
    if (members === undefined) return [];
    const keys = typeof members === 'string' ? [members] : [...members].sort();
    return keys.flatMap((member) => this.collection.get(member) ?? []);
  }

  follow(follower: Follower, when: FollowWhen): void {
    this.#followers.push({ follower, when });
  }

  replace(member: string, before: Value | undefined, after: Value | undefined, touched: Touched): void {
    const former = before === undefined ? [] : this.#keysOf(before);
    const current = after === undefined ? [] : this.#keysOf(after);
    for (const key of former) if (!current.includes(key)) this.#remove(key, member);
    for (const key of current) this.#add(key, member);
    for (const key of [...former, ...current]) {
      const readers = this.#readers.find(key);
      if (readers !== undefined) touched.add(readers);
      for (const { follower, when } of this.#followers) if (when === 'content') follower.markStale(key);
    }
  }

  #add(key: string, member: string): void {
    const members = this.#members.get(key);
    if (members === member) return;
    if (members instanceof Set && members.has(member)) return;
    if (members === undefined) this.#members.set(key, member);
    else if (typeof members === 'string') this.#members.set(key, new Set([members, member]));
    else members.add(member);
    this.#tellFollowers(key, members === undefined);
  }

  #remove(key: string, member: string): void {
    const members = this.#members.get(key);
    if (members === member) this.#members.delete(key);
    else if (members instanceof Set) {
      members.delete(member);
      const [only] = members;
      if (members.size === 1 && only !== undefined) this.#members.set(key, only);
    }
    this.#tellFollowers(key, members === member);
  }

  #tellFollowers(key: string, presence: boolean): void {
    for (const { follower, when } of this.#followers) if (presence || when === 'members') follower.markStale(key);
  }
}
