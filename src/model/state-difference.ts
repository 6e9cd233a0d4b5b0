import type { Condition, MeshState, NodePod } from './workload.ts';

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

/** What of the cluster has changed beside the state of the mesh. */
export interface DerivedDifference extends StateDifference {
  /** By `namespace/name`. */
  readonly nodePods: readonly Change<NodePod>[];
}

/** A state that is worked out and not in force yet. */
export interface StagedState {
  /** How many conditions there will be. */
  readonly conditions: number;
  /** Those of them that were not there before. */
  readonly newConditions: readonly Condition[];
  /** Items that could not be worked out and stay as they were. */
  readonly failures: readonly { readonly item: string; readonly error: unknown }[];
  /** Puts it in force: the maps of the state change here, and at no other time. To be called once, before the next is staged. */
  commit(): DerivedDifference;
}
