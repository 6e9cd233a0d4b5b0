import type { ManifestObject } from '../manifest-object.ts';
import { apiKinds } from './api-kinds.ts';
import { listObjects } from './live-objects.ts';
import type { Api, LiveObject } from './live-objects.ts';

const partOf = 'app.kubernetes.io/part-of';
const managedBy = 'app.kubernetes.io/managed-by';

/** Kinds that are looked after by themselves: they may hold what is not ours. */
const apart = new Set(['Namespace', 'CustomResourceDefinition']);

export function isOurs({ metadata }: { readonly metadata: Pick<ManifestObject['metadata'], 'labels'> }): boolean {
  return metadata.labels?.[partOf] === 'ambit';
}

/** Who looks after an object, for a message. */
export function managerOf({ metadata }: Pick<ManifestObject, 'metadata'>): string {
  return metadata.labels?.[managedBy] ?? metadata.labels?.[partOf] ?? 'somebody else';
}

/** What installations by this command have made in the whole cluster, but namespaces and definitions; Helm's objects are Helm's. */
export async function installedObjects(api: Api): Promise<readonly LiveObject[]> {
  const labelSelector = `${partOf}=ambit,${managedBy}=ambit`;
  const kinds = Object.keys(apiKinds).filter((kind) => !apart.has(kind));
  const lists = await Promise.all(kinds.map((kind) => listObjects(api, kind, { labelSelector })));
  return lists.flat();
}

export async function installedDefinitions(api: Api): Promise<readonly LiveObject[]> {
  return listObjects(api, 'CustomResourceDefinition', { labelSelector: `${partOf}=ambit` });
}

/** The namespaces of installations, by what runs the agents. */
export function namespacesOf(objects: readonly LiveObject[]): readonly string[] {
  const found = objects.filter(({ kind }) => kind === 'DaemonSet').map(({ metadata }) => metadata.namespace ?? '');
  return [...new Set(found)];
}
