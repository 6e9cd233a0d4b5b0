import { ManifestSource } from '../config/manifests/source.ts';
import type { AgentSettings } from '../config/settings.ts';
import { deriveMeshStateSteps } from '../derive/mesh-state.ts';
import type { MeshState } from '../model/workload.ts';
import { StatePump } from '../process/state-pump.ts';
import type { Logging } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { runInSlices } from '../timing/slices.ts';
import type { Timers } from '../timing/timers.ts';
import type { Node } from './node.ts';
import { warnAboutTrustDomains } from './state-feed.ts';
import type { StateFeed } from './state-feed.ts';

export interface ManifestFeedDependencies {
  readonly settings: Pick<AgentSettings, 'node' | 'stateDir' | 'manifestPoll'>;
  readonly path: string;
  readonly logging: Logging;
  readonly metrics: AgentMetrics;
  readonly timers: Timers;
}

/** The whole mesh from manifests: the embedded default. */
export class ManifestFeed implements StateFeed {
  readonly task = 'manifests';
  readonly addresses = null;
  readonly #dependencies: ManifestFeedDependencies;
  readonly #ending = new AbortController();
  readonly #source: ManifestSource;
  readonly #pump: StatePump;
  readonly #firstInForce: Promise<Node>;
  #announce: (node: Node) => void = () => undefined;
  #first: MeshState | null = null;

  constructor(dependencies: ManifestFeedDependencies) {
    this.#dependencies = dependencies;
    const { settings, path, logging, metrics, timers } = dependencies;
    this.#firstInForce = new Promise((resolve) => (this.#announce = resolve));
    this.#pump = new StatePump({
      derive: (resources) => runInSlices(deriveMeshStateSteps(resources, { node: settings.node })),
      apply: async (state) => {
        await this.#apply(await this.#firstInForce, state);
      },
      logger: logging.component('manifests'),
      metrics,
    });
    this.#source = new ManifestSource({
      path,
      stateDir: settings.stateDir,
      pollInterval: settings.manifestPoll,
      timers,
      onUpdate: (update) => {
        this.#pump.submit(update);
      },
    });
  }

  async start(signal: AbortSignal): Promise<MeshState> {
    const ended = AbortSignal.any([signal, this.#ending.signal]);
    this.#first = await this.#pump.derive(await this.#source.start(ended));
    return this.#first;
  }

  async attach(node: Node): Promise<void> {
    if (this.#first !== null) await this.#apply(node, this.#first);
    this.#announce(node);
  }

  stop(): Promise<void> {
    this.#ending.abort();
    return Promise.resolve();
  }

  async #apply({ plane, enrolment }: Node, state: MeshState): Promise<void> {
    if (this.#ending.signal.aborted) return;
    warnAboutTrustDomains(plane.state, state, this.#dependencies.logging.component('agent'));
    await plane.apply(state);
    enrolment.reconcile(state.localPods);
  }
}
