/** What every object of the API has, as far as we look at it. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMetadata;
}

export interface ObjectMetadata {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Opaque: it can be handed back and compared for equality, nothing else. */
  readonly resourceVersion?: string;
}

export interface KubeList {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  /** The server writes null where it has none. */
  readonly items: readonly unknown[] | null;
}

/** `namespace/name`, or `name` where there is no namespace. */
export function objectKey({ namespace, name }: ObjectMetadata): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

export function isKubeObject(value: unknown): value is KubeObject {
  if (typeof value !== 'object' || value === null || !('metadata' in value)) return false;
  const { metadata } = value;
  return typeof metadata === 'object' && metadata !== null && 'name' in metadata && typeof metadata.name === 'string';
}

export function isKubeList(value: unknown): value is KubeList {
  if (typeof value !== 'object' || value === null || !('items' in value) || !('metadata' in value)) return false;
  return (
    (value.items === null || Array.isArray(value.items)) &&
    typeof value.metadata === 'object' &&
    value.metadata !== null
  );
}
