import { isDeepStrictEqual } from 'node:util';
import type { MeshState } from '../model/workload.ts';
import { Slices } from '../timing/slices.ts';

export interface Change<T> {
  readonly key: string;
  readonly before: T | null;
  readonly after: T | null;
}

type MapOf<K extends keyof MeshState> = MeshState[K] extends ReadonlyMap<string, infer V> ? V : never;

/** What turns one state into the next. */
export interface StateDifference {
  readonly next: MeshState;
  readonly settingsChanged: boolean;
  readonly workloads: readonly Change<MapOf<'workloads'>>[];
  readonly services: readonly Change<MapOf<'services'>>[];
  readonly policies: readonly Change<MapOf<'policies'>>[];
  readonly localPods: readonly Change<MapOf<'localPods'>>[];
}

/** Compares by content, because a state is derived anew after every edit. Gives way to questions while it compares. */
export async function differenceOf(before: MeshState, after: MeshState): Promise<StateDifference> {
  const slices = new Slices();
  return {
    next: after,
    settingsChanged: !isDeepStrictEqual(before.settings, after.settings),
    workloads: await changesOf(before.workloads, after.workloads, slices),
    services: await changesOf(before.services, after.services, slices),
    policies: await changesOf(before.policies, after.policies, slices),
    localPods: await changesOf(before.localPods, after.localPods, slices),
  };
}

async function changesOf<T>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  slices: Slices,
): Promise<Change<T>[]> {
  const changes: Change<T>[] = [];
  for (const [key, value] of after) {
    const former = before.get(key);
    if (former === undefined) changes.push({ key, before: null, after: value });
    else if (!isDeepStrictEqual(former, value)) changes.push({ key, before: former, after: value });
    if (slices.exhausted) await slices.pause();
  }
  for (const [key, value] of before) {
    if (!after.has(key)) changes.push({ key, before: value, after: null });
    if (slices.exhausted) await slices.pause();
  }
  return changes;
}
