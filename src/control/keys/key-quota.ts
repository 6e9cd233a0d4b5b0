import { keySourceText } from '../../envoy/security/context.ts';
import type { KeySource } from '../../envoy/security/context.ts';

/** Each manifest may name some, and everybody may write manifests. */
export const mostOfNamespace = 32;
export const mostOfMesh = 1_000;

export interface WantedSource {
  readonly source: KeySource;
  /** One that names it, and may. */
  readonly namespace: string;
}

/** What is fetched, and why the rest is not; both by `keySourceText`. */
export interface AllowedWishes {
  readonly wanted: ReadonlyMap<string, WantedSource>;
  readonly refused: ReadonlyMap<string, string>;
}

/**
 * Pure: of each namespace the first sources of its first manifests, by name.
 *
 * @param wishes by the manifest's `namespace/name`
 * @param watched those that are fetched already: what comes new never takes the place of one of another namespace
 */
export function withinQuota(
  wishes: ReadonlyMap<string, readonly KeySource[]>,
  watched: ReadonlySet<string>,
): AllowedWishes {
  const wanted = new Map<string, WantedSource>();
  const refused = new Map<string, string>();
  for (const [namespace, sources] of byNamespace(wishes)) {
    for (const [index, source] of sources.entries()) {
      const key = keySourceText(source);
      if (index < mostOfNamespace) wanted.set(key, wanted.get(key) ?? { source, namespace });
      else refused.set(key, `${namespace} names more than ${mostOfNamespace} places of keys`);
    }
  }
  const first = [...wanted.keys()].sort((left, right) => Number(watched.has(right)) - Number(watched.has(left)));
  for (const key of first.slice(mostOfMesh)) {
    wanted.delete(key);
    refused.set(key, `all namespaces together name more than ${mostOfMesh} places of keys`);
  }
  for (const key of wanted.keys()) refused.delete(key);
  return { wanted, refused };
}

/** Each source once. */
function byNamespace(wishes: ReadonlyMap<string, readonly KeySource[]>): ReadonlyMap<string, readonly KeySource[]> {
  const found = new Map<string, Map<string, KeySource>>();
  for (const key of [...wishes.keys()].sort()) {
    const namespace = key.split('/')[0] ?? '';
    const sources = found.get(namespace) ?? new Map<string, KeySource>();
    found.set(namespace, sources);
    for (const source of wishes.get(key) ?? []) sources.set(keySourceText(source), source);
  }
  return new Map([...found].map(([namespace, sources]) => [namespace, [...sources.values()]]));
}
