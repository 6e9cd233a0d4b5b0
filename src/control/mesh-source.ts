import type { MeshInput } from '../config/mesh-input.ts';
import type { CollectionDescription } from '../derive/collections/collection.ts';
import { MeshDerivation } from '../derive/mesh-derivation.ts';
import type { Captured } from '../derive/context.ts';
import type { Extend } from '../derive/extension.ts';
import type { DerivedDifference } from '../model/state-difference.ts';
import type { Condition, MeshState } from '../model/workload.ts';
import { StatePump } from '../process/state-pump.ts';
import type { ControlMetrics } from '../telemetry/control-metrics.ts';
import type { Logger } from '../telemetry/logger.ts';
import { runInSlices } from '../timing/slices.ts';
import type { Timers } from '../timing/timers.ts';
import { typeUrls } from '../wds/names.ts';
import type { ResourceStore } from './resources/resource-store.ts';

export interface MeshSourceDependencies {
  readonly input: MeshInput;
  readonly captured: Captured;
  /** Resolves when the documents have come that others name, or after a while; null: all come by themselves. */
  readonly followed: ((signal: AbortSignal) => Promise<void>) | null;
  /** What else is made of the documents. */
  readonly extend: Extend;
  readonly store: ResourceStore;
  readonly timers: Pick<Timers, 'now'>;
  readonly logger: Logger;
  readonly metrics: ControlMetrics;
  /** Told of every change when it has come into force; clients are told once this resolves. */
  readonly onChange: (difference: DerivedDifference) => Promise<void>;
}

/** From documents to resources, one update after the other. */
export class MeshSource {
  readonly #dependencies: MeshSourceDependencies;
  readonly #derivation: MeshDerivation;

  constructor(dependencies: MeshSourceDependencies) {
    this.#dependencies = dependencies;
    this.#derivation = new MeshDerivation({
      node: null,
      captured: dependencies.captured,
      extend: dependencies.extend,
      now: () => dependencies.timers.now(),
    });
  }

  /** What is in force. */
  get state(): MeshState {
    return this.#derivation.state;
  }

  /** Which documents have the waypoint that they ask for. */
  get bound(): readonly Condition[] {
    return this.#derivation.bound;
  }

  /** Resolves when the first documents are in force, with those that they name. @throws what the input throws */
  async start(signal: AbortSignal): Promise<void> {
    const { input, followed, logger, metrics } = this.#dependencies;
    const pump = new StatePump({
      derive: async (changes) => {
        const stop = metrics.deriveSeconds.startTimer();
        const staged = await runInSlices(this.#derivation.update(changes));
        stop();
        return staged;
      },
      apply: (staged) => this.#apply(staged.commit()),
      logger,
      metrics,
    });
    const first = await input.start((changes) => {
      pump.submit(changes);
    }, signal);
    const staged = await pump.start(first);
    // Announced even where they equal the defaults: nothing was sent of them yet.
    await this.#apply({ ...staged.commit(), settingsChanged: true });
    pump.open();
    // A proxy that comes back to another control plane must not be told that its certificates are gone.
    if (followed === null) return;
    await followed(signal);
    await pump.idle();
  }

  /** Every step from documents to what is served. */
  describe(): readonly CollectionDescription[] {
    const { store } = this.#dependencies;
    const served = Object.entries(typeUrls).map(([name, type]) => ({
      name: `resources: ${type}`,
      inputs: [name],
      size: store.size(type),
      recomputed: null,
      changedAt: null,
    }));
    return [...this.#derivation.describe(), ...served];
  }

  async #apply(difference: DerivedDifference): Promise<void> {
    const { store, metrics, onChange } = this.#dependencies;
    await onChange(difference);
    await store.commit(difference);
    metrics.stateGeneration.inc();
    metrics.services.set(difference.next.services.size);
    for (const [name, type] of Object.entries(typeUrls)) metrics.resources.set({ type: name }, store.size(type));
  }
}
