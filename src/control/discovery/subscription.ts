import type { StoreChange } from '../resources/resource-store.ts';

/** What goes into one response. */
export interface Batch {
  /** As in `EncodedResource`. */
  readonly entries: readonly string[];
  readonly removed: readonly string[];
  /** Whoever takes this in has everything: nothing of what it asked for was left to a later response. */
  readonly complete: boolean;
}

/** How what does not fit into one response goes to a client. */
export interface Paging {
  /**
   * Everything in the first response, however long: a client that calls itself ready after it must find everything there. Else
   * in as many as it takes, each told whether it is the last.
   */
  readonly whole: boolean;
  /** What a page holds at most before it is full: what a slow client may keep waiting in the buffers of its stream. */
  readonly entries: number;
  readonly bytes: number;
}

export const usualPaging: Paging = { whole: false, entries: 500, bytes: 128 * 1024 };

/** What one stream wants of one type, and what of that it has not been sent yet: names only, never more than there are. */
export interface Subscription {
  /** There is something to send, if only the answer to a request. */
  readonly pending: boolean;
  /** What is sent next is of the size of the mesh, not of a change. */
  readonly bulk: boolean;
  /** How many names the client has asked for that are kept. */
  readonly size: number;
  note(changes: readonly StoreChange[]): void;
  subscribe(names: readonly string[]): void;
  unsubscribe(names: readonly string[]): void;
  /** Takes what is to be sent next, in short steps; what changes meanwhile is pending again. */
  collect(): Generator<undefined, Batch>;
}

/** Steps of this many resources take about a millisecond where they are encoded, and else much less. */
export const stepLength = 50;

/** Entries of one response. */
export class Page {
  readonly entries: string[] = [];
  readonly #limits: Paging;
  #bytes = 0;

  constructor(limits: Paging) {
    this.#limits = limits;
  }

  add(entry: string): void {
    this.entries.push(entry);
    this.#bytes += entry.length;
  }

  get full(): boolean {
    return this.entries.length >= this.#limits.entries || this.#bytes >= this.#limits.bytes;
  }
}
