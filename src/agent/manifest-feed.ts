import type { AgentSettings } from '../config/settings.ts';
import { MeshDerivation } from '../derive/mesh-derivation.ts';
import type { StateDifference } from '../model/state-difference.ts';
import type { LocalPod, MeshState } from '../model/workload.ts';
import { ManifestInput } from '../process/manifest-input.ts';
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
  readonly #input: ManifestInput;
  readonly #derivation: MeshDerivation;
  readonly #pump: StatePump;
  #node: Node | null = null;
  #first: StateDifference | null = null;

  constructor(dependencies: ManifestFeedDependencies) {
    this.#dependencies = dependencies;
    const { settings, path, logging, metrics, timers } = dependencies;
    const logger = logging.component('manifests');
    this.#derivation = new MeshDerivation({ node: settings.node, now: () => timers.now() });
    this.#pump = new StatePump({
      derive: (changes) => runInSlices(this.#derivation.update(changes)),
      apply: (staged) => this.#apply(() => staged.commit()),
      logger,
      metrics,
    });
    this.#input = new ManifestInput({
      path,
      stateDir: settings.stateDir,
      pollInterval: settings.manifestPoll,
      timers,
      logger,
      metrics,
    });
  }

  get localPods(): ReadonlyMap<string, LocalPod> {
    return this.#derivation.state.localPods;
  }

  async start(signal: AbortSignal): Promise<MeshState> {
    const ended = AbortSignal.any([signal, this.#ending.signal]);
    const deliver = this.#pump.submit.bind(this.#pump);
    const staged = await this.#pump.start(await this.#input.start(deliver, ended));
    this.#first = staged.commit();
    return this.#first.next;
  }

  async attach(node: Node): Promise<void> {
    this.#node = node;
    const first = this.#first;
    this.#first = null;
    if (first !== null) await this.#apply(() => first);
    this.#pump.open();
  }

  stop(): Promise<void> {
    this.#ending.abort();
    return Promise.resolve();
  }

  /** The state changes when its turn has come: between two changes lie questions. */
  async #apply(commit: () => StateDifference): Promise<void> {
    if (this.#node === null || this.#ending.signal.aborted) return;
    const { plane, enrolment } = this.#node;
    await plane.applyDifference(() => {
      const difference = commit();
      warnAboutTrustDomains(plane.state, difference.next, this.#dependencies.logging.component('agent'));
      return difference;
    });
    enrolment.reconcile(plane.state.localPods);
  }
}
