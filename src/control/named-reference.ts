/** A Secret or ConfigMap that is read by its name, and on whose behalf. */
export interface NamedReference {
  /** `Secret shop/certificate`, `ConfigMap shop/roots`. */
  readonly object: string;
  /** Namespace of the documents that name it: what it costs is theirs. */
  readonly by: string;
  /** When the oldest of them was made, in milliseconds since the epoch; null: nobody knows. */
  readonly since: number | null;
}
