import { isDeepStrictEqual } from 'node:util';
import { defaultMeshSettings } from '../config/manifests/schemas/mesh-settings.ts';
import type { DocumentChanges } from '../config/mesh-input.ts';
import type { DerivedDifference, StagedState } from '../model/state-difference.ts';
import type { Condition, MeshSettings, MeshState } from '../model/workload.ts';
import type { CollectionDescription } from './collections/collection.ts';
import { CollectionGraph } from './collections/collection-graph.ts';
import type { Captured } from './context.ts';
import { Contexts } from './contexts.ts';
import type { Extend } from './extension.ts';
import { createOutputs } from './mesh-outputs.ts';
import type { MeshOutputs } from './mesh-outputs.ts';
import { createSources, setSource, settingsKey } from './sources.ts';
import type { Sources } from './sources.ts';

export interface MeshDerivationOptions {
  /** Name of the node whose pods become `localPods`; null: of every node, as the control plane tells each its own. */
  readonly node: string | null;
  /** `wanted` if not given. */
  readonly captured?: Captured;
  /** What else is made of the same documents, and comes into force together with the rest. */
  readonly extend?: Extend;
  /** Milliseconds since the epoch, for descriptions. */
  readonly now: () => number;
}

/** What documents mean, kept up change by change: only what depends on a change is computed again. */
export class MeshDerivation {
  readonly #graph: CollectionGraph;
  readonly #sources: Sources;
  readonly #contexts: Contexts;
  readonly #outputs: MeshOutputs;
  #state: MeshState;

  constructor({ node, captured = 'wanted', extend, now }: MeshDerivationOptions) {
    this.#graph = new CollectionGraph(now);
    this.#sources = createSources(this.#graph);
    this.#contexts = new Contexts(this.#graph, this.#sources, captured);
    this.#outputs = createOutputs(this.#graph, this.#sources, this.#contexts, { node, extend: extend ?? null });
    this.#state = this.#stateWith(defaultMeshSettings, []);
    // Settings hold whether a document says something of them or not.
    setSource(this.#sources, { kind: 'MeshSettings', key: settingsKey, document: null });
  }

  /** What is in force. Its maps are live: they change with `commit` alone. */
  get state(): MeshState {
    return this.#state;
  }

  /** Which documents have the waypoint that they ask for; told of each in its status. */
  get bound(): readonly Condition[] {
    return [...this.#outputs.bound.live.values()];
  }

  /** The collections, as of the last change. */
  describe(): readonly CollectionDescription[] {
    return this.#graph.describe();
  }

  /** How much is kept beside the values; it follows what is there, whatever was there before. */
  get footprint(): number {
    return this.#graph.footprint;
  }

  /**
   * Works out what changes mean, item by item, so that the caller can let other work run in between. One after the other: the
   * next one may begin once the generator is done.
   */
  *update(changes: DocumentChanges): Generator<undefined, StagedState> {
    for (const change of changes) {
      setSource(this.#sources, change);
      yield;
    }
    const failures = yield* this.#graph.settle();
    const { workloads, services, policies, localPods, nodePods, bound } = this.#outputs;
    for (const map of [workloads, services, policies, localPods, nodePods]) yield* map.stage();
    yield* bound.stage();
    if (this.#outputs.extension !== null) yield* this.#outputs.extension.stage();
    const conditions = yield* this.#outputs.conditions.stage();
    const appeared = conditions.flatMap(({ before, after }) => (before === null && after !== null ? [after] : []));
    const gone = conditions.filter(({ after }) => after === null);
    this.#graph.forgetChanges();
    return {
      conditions: this.#outputs.conditions.live.size + appeared.length - gone.length,
      newConditions: appeared,
      failures: failures.map(({ collection, key, error }) => ({ item: `${collection}: ${key}`, error })),
      commit: () => this.#commit(),
    };
  }

  #commit(): DerivedDifference {
    const before = this.#state;
    const settings = this.#contexts.settings.get(settingsKey) ?? defaultMeshSettings;
    const changes = {
      workloads: this.#outputs.workloads.commit(),
      services: this.#outputs.services.commit(),
      policies: this.#outputs.policies.commit(),
      localPods: this.#outputs.localPods.commit(),
      nodePods: this.#outputs.nodePods.commit(),
    };
    this.#outputs.bound.commit();
    this.#outputs.extension?.commit();
    const conditionsChanged = this.#outputs.conditions.commit().length > 0;
    this.#state = this.#stateWith(
      settings,
      conditionsChanged ? [...this.#outputs.conditions.live.values()] : before.conditions,
    );
    return { next: this.#state, settingsChanged: !isDeepStrictEqual(before.settings, settings), ...changes };
  }

  #stateWith(settings: MeshSettings, conditions: readonly Condition[]): MeshState {
    return {
      settings,
      workloads: this.#outputs.workloads.live,
      services: this.#outputs.services.live,
      policies: this.#outputs.policies.live,
      localPods: this.#outputs.localPods.live,
      conditions,
    };
  }
}
