import type { KubeClient, Query } from '../../kube/kube-client.ts';
import { isConflict, isNotFound, KubeError } from '../../kube/kube-error.ts';
import { isKubeList } from '../../kube/objects.ts';
import { serverSideApply } from '../../kube/server-side-apply.ts';
import type { ApplyOptions } from '../../kube/server-side-apply.ts';
import type { ManifestObject } from '../manifest-object.ts';
import { apiKind, collectionPath, objectPath } from './api-kinds.ts';

/** The part of a client that an installation needs. */
export type Api = Pick<KubeClient, 'send'>;

/** An object as the API server has it. */
export interface LiveObject extends ManifestObject {
  readonly metadata: ManifestObject['metadata'] & {
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly generation?: number;
    readonly deletionTimestamp?: string;
  };
}

export const fieldManager = 'ambit-install';

/** Null: there is none, or nothing of its kind. */
export function readObject(api: Api, object: Pick<ManifestObject, 'kind' | 'metadata'>): Promise<LiveObject | null> {
  return readPath(api, objectPath(object)) as Promise<LiveObject | null>;
}

export async function readPath(api: Api, path: string, query: Query = {}): Promise<unknown> {
  try {
    return await api.send({ method: 'GET', path, query });
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

/** All objects of a kind, each with its kind (lists leave it out); none where the kind is not defined. */
export async function listObjects(
  api: Api,
  kind: string,
  query: Query,
  namespace?: string,
): Promise<readonly LiveObject[]> {
  const items = await listPath(api, collectionPath(kind, namespace), query);
  const { apiVersion } = apiKind(kind);
  return items.map((item) => ({ ...(item as LiveObject), apiVersion, kind }));
}

export async function listPath(api: Api, path: string, query: Query = {}): Promise<readonly unknown[]> {
  const list = await readPath(api, path, query);
  return isKubeList(list) ? (list.items ?? []) : [];
}

export type ApplyMode = Pick<Required<ApplyOptions>, 'force' | 'dryRun'>;

/** By server-side apply. @throws KubeError */
export function applyObject(api: Api, object: ManifestObject, mode: ApplyMode): Promise<LiveObject> {
  return api.send(serverSideApply(objectPath(object), object, { fieldManager, ...mode })) as Promise<LiveObject>;
}

/**
 * Of an object as it was when it was seen: another one of the same name stays. What it owns goes first, so whoever waits for the
 * object has waited for its pods.
 *
 * @returns false where it was gone already
 */
export function deleteObject(api: Api, object: LiveObject): Promise<boolean> {
  return deletePath(api, objectPath(object), object.metadata.uid);
}

/** As `deleteObject`. */
export async function deletePath(api: Api, path: string, uid: string | undefined): Promise<boolean> {
  const preconditions = uid === undefined ? {} : { preconditions: { uid } };
  try {
    await api.send({ method: 'DELETE', path, body: { propagationPolicy: 'Foreground', ...preconditions } });
    return true;
  } catch (error) {
    if (isNotFound(error) || isConflict(error)) return false;
    throw error;
  }
}

/** Who owns which field of what was to be applied, in words; null where the error is another one. */
export function conflictsOf(error: unknown): readonly string[] | null {
  if (!(error instanceof KubeError) || !isConflict(error)) return null;
  const conflicts = error.causes.filter(({ reason }) => reason === 'FieldManagerConflict');
  if (conflicts.length === 0) return null;
  return conflicts.map(({ field = '', message = '' }) => `${field} is owned by ${ownerOf(message)}`);
}

/** From `conflict with "kubectl" using apps/v1`. */
function ownerOf(message: string): string {
  return /^conflict with "([^"]+)"/.exec(message)?.[1] ?? message;
}
