/** An object of the Kubernetes API, to be applied. */
export interface ManifestObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** Objects that are there together, or not at all. */
export interface ObjectGroup {
  /** Becomes the name of the chart's template. */
  readonly name: string;
  /** Path of the value that must be true, or `PATH=WORD` of one that must be that word; null: always there. */
  readonly when:
    | 'strict'
    | 'networkPolicy.enabled'
    | 'admissionPolicy.enabled'
    | 'waypoint.parameters'
    | 'gateways.secrets=all'
    | null;
  readonly objects: readonly ManifestObject[];
}
