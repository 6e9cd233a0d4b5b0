/** What a resource of a peer means. */
export interface Decoded<Value> {
  /** null: nothing of it can be used. */
  readonly value: Value | null;
  /** What could not be honoured, in words: the peer is told, by a NACK. A value beside problems errs on the strict side. */
  readonly problems: readonly string[];
}
