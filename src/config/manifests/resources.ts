/** Where a document stands, for messages. Lines count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** Something about a manifest that an operator should know. */
export interface ManifestProblem extends Place {
  readonly severity: 'error' | 'warning';
  /** `AuthorizationPolicy default/name`, or null where the document cannot be identified. */
  readonly resource: string | null;
  /** `spec.rules[0].from`, empty where the whole document is meant. */
  readonly field: string;
  readonly message: string;
}
