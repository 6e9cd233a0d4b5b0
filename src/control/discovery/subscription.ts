import type { StoreChange } from '../resources/resource-store.ts';

/** What goes into one response. */
export interface Batch {
  readonly entries: readonly Uint8Array[];
  readonly removed: readonly string[];
}

/** What one stream wants of one type, and what of that it has not been sent yet: names only, never more than there are. */
export interface Subscription {
  /** There is something to send, if only the answer to a request. */
  readonly pending: boolean;
  /** The first response holds everything at once: a client calls itself ready after it. */
  readonly bulk: boolean;
  /** How many names the client has asked for. */
  readonly size: number;
  note(changes: readonly StoreChange[]): void;
  subscribe(names: readonly string[]): void;
  unsubscribe(names: readonly string[]): void;
  /** Takes what is to be sent next; what changes meanwhile is pending again. */
  collect(): Promise<Batch>;
}

/** Later responses are this long at most, so that a mass change cannot fill the memory of a slow stream's buffers. */
export const longestResponse = 5000;
