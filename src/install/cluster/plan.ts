import { describeError } from '../../config/errors.ts';
import { isNotFound, isUnavailable } from '../../kube/kube-error.ts';
import type { ManifestObject } from '../manifest-object.ts';
import { neededVersion, servedVersions } from './definitions.ts';
import { differences } from './difference.ts';
import { applyObject, conflictsOf, readObject } from './live-objects.ts';
import type { Api, LiveObject } from './live-objects.ts';
import { isOurs, managerOf } from './ownership.ts';

/** What applying an object would do; the API server has been asked, and nothing is changed. */
export interface PlannedObject {
  readonly object: ManifestObject;
  /** `leave`: a definition that somebody else has installed. */
  readonly step: 'create' | 'change' | 'keep' | 'leave';
  /** Paths that would change. */
  readonly differences: readonly string[];
  /** What stands against it unless it is forced: objects and fields of others. */
  readonly conflicts: readonly string[];
  /** What stands against it in any case. */
  readonly failures: readonly string[];
}

const createdBy = 'ambit.dev/created-by';
const createdHere = 'ambit-install';

/** In order, and one after the other: an API server has others to serve, and an installation is a few dozen objects. */
export async function planOf(api: Api, objects: readonly ManifestObject[]): Promise<readonly PlannedObject[]> {
  const planned: PlannedObject[] = [];
  for (const object of objects) planned.push(await planOne(api, object));
  return planned;
}

async function planOne(api: Api, wanted: ManifestObject): Promise<PlannedObject> {
  const live = await readObject(api, wanted);
  const object = wanted.kind === 'Namespace' ? markedNamespace(wanted, live) : wanted;
  const nothing = { object, differences: [], conflicts: [], failures: [] };
  if (live === null) return { ...nothing, step: 'create', failures: await failuresOfCreation(api, object) };
  if (live.metadata.deletionTimestamp !== undefined) {
    return { ...nothing, step: 'change', failures: ['is being deleted: wait until it is gone'] };
  }
  if (object.kind === 'CustomResourceDefinition' && !isOurs(live)) {
    return { ...nothing, step: 'leave', failures: unservedVersion(object, live) };
  }
  return planChange(api, object, live);
}

async function planChange(api: Api, object: ManifestObject, live: LiveObject): Promise<PlannedObject> {
  const foreign = object.kind !== 'Namespace' && !isOurs(live);
  const conflicts = foreign ? [`is there already, and not of Ambit but of ${managerOf(live)}`] : [];
  try {
    conflicts.push(...(await fieldConflicts(api, object)));
    const changed = differences(live, await applyObject(api, object, { force: true, dryRun: true }));
    const step = changed.length === 0 ? 'keep' : 'change';
    return { object, step, differences: changed, conflicts, failures: [] };
  } catch (error) {
    if (isUnavailable(error)) throw error;
    return { object, step: 'change', differences: [], conflicts, failures: [describeError(error)] };
  }
}

async function fieldConflicts(api: Api, object: ManifestObject): Promise<readonly string[]> {
  try {
    await applyObject(api, object, { force: false, dryRun: true });
    return [];
  } catch (error) {
    const conflicts = conflictsOf(error);
    if (conflicts === null) throw error;
    return conflicts;
  }
}

async function failuresOfCreation(api: Api, object: ManifestObject): Promise<readonly string[]> {
  try {
    await applyObject(api, object, { force: false, dryRun: true });
    return [];
  } catch (error) {
    if (isUnavailable(error)) throw error;
    // Its namespace or definition is still to come.
    return isNotFound(error) ? [] : [describeError(error)];
  }
}

/** One that the installation has made goes with it; one that was there before stays. */
function markedNamespace(object: ManifestObject, live: LiveObject | null): ManifestObject {
  if (live !== null && !isMadeHere(live)) return object;
  return { ...object, metadata: { ...object.metadata, annotations: { [createdBy]: createdHere } } };
}

export function isMadeHere({ metadata }: LiveObject): boolean {
  return metadata.annotations?.[createdBy] === createdHere;
}

function unservedVersion(object: ManifestObject, live: LiveObject): readonly string[] {
  const version = neededVersion(object);
  if (servedVersions(live).includes(version)) return [];
  return [
    `was installed by ${managerOf(live)} and does not serve ${version}: bring in the definitions of Istio 1.22 or later, or delete it`,
  ];
}
