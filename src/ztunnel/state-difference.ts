import { isDeepStrictEqual } from 'node:util';
import type { Change, StateDifference } from '../model/state-difference.ts';
import type { MeshState } from '../model/workload.ts';
import { Slices } from '../timing/slices.ts';

/** For states that were not kept up by differences: compares by content. Gives way to questions while it compares. */
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
