/** Older first, as Istio settles conflicts; what has no age is younger than all that have one, then by name. */
export function byAge(left: Aged, right: Aged): number {
  return ageOrder(left) < ageOrder(right) ? -1 : 1;
}

interface Aged {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly creationTimestamp: string | null };
}

/** The lesser text is the older one's. */
export function ageOrder({ metadata }: Aged): string {
  const created = metadata.creationTimestamp === null ? Number.NaN : Date.parse(metadata.creationTimestamp);
  const age = Number.isNaN(created) ? '~' : String(created).padStart(16, '0');
  return `${age}/${metadata.namespace}/${metadata.name}`;
}
