import { ManifestSource } from '../config/manifests/source.ts';
import type { ControlPlaneSettings } from '../config/control-plane-settings.ts';
import { deriveMeshStateSteps } from '../derive/mesh-state.ts';
import { defaultMeshSettings } from '../config/manifests/schemas/mesh-settings.ts';
import type { MeshState } from '../model/workload.ts';
import { StatePump } from '../process/state-pump.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ControlMetrics } from '../telemetry/control-metrics.ts';
import { runInSlices } from '../timing/slices.ts';
import type { Timers } from '../timing/timers.ts';
import { differenceOf } from '../ztunnel/state-difference.ts';
import type { ResourceStore } from './resources/resource-store.ts';
import { typeUrls } from '../wds/names.ts';

export interface MeshSourceDependencies {
  readonly settings: Pick<ControlPlaneSettings, 'manifests' | 'stateDir' | 'manifestPoll'>;
  readonly store: ResourceStore;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: ControlMetrics;
}

/** What `/debug/collections` tells of one step from source to resources. */
export interface CollectionDescription {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly size: number;
}

/** From manifests to resources, one update after the other. */
export class MeshSource {
  readonly #dependencies: MeshSourceDependencies;
  #state: MeshState = {
    settings: defaultMeshSettings,
    workloads: new Map(),
    services: new Map(),
    policies: new Map(),
    localPods: new Map(),
    conditions: [],
  };

  constructor(dependencies: MeshSourceDependencies) {
    this.#dependencies = dependencies;
  }

  /** What is in force. */
  get state(): MeshState {
    return this.#state;
  }

  /** Resolves when the first manifests are in force. @throws AmbitError `MANIFESTS_UNREADABLE` */
  async start(signal: AbortSignal): Promise<void> {
    const { settings, timers, logger, metrics } = this.#dependencies;
    let announceFirst: () => void = () => undefined;
    const first = new Promise<void>((resolve) => (announceFirst = resolve));
    const pump = new StatePump({
      derive: async (resources) => {
        const stop = metrics.deriveSeconds.startTimer();
        const state = await runInSlices(deriveMeshStateSteps(resources, { node: null }));
        stop();
        return state;
      },
      apply: async (state) => {
        await first;
        await this.#apply(state);
      },
      logger,
      metrics,
    });
    const source = new ManifestSource({
      path: settings.manifests,
      stateDir: settings.stateDir,
      pollInterval: settings.manifestPoll,
      timers,
      onUpdate: (update) => {
        pump.submit(update);
      },
    });
    await this.#apply(await pump.derive(await source.start(signal)), true);
    announceFirst();
  }

  describe(): readonly CollectionDescription[] {
    const { workloads, services, policies, localPods, conditions } = this.#state;
    const pods = ['Pod', 'Namespace', 'Node', 'MeshSettings'];
    return [
      {
        name: 'workloads',
        inputs: [...pods, 'Service', 'PeerAuthentication', 'AuthorizationPolicy', 'NetworkPolicy'],
        size: workloads.size,
      },
      { name: 'services', inputs: ['Service', 'MeshSettings'], size: services.size },
      { name: 'policies', inputs: ['AuthorizationPolicy', 'PeerAuthentication', 'MeshSettings'], size: policies.size },
      { name: 'local pods', inputs: pods, size: localPods.size },
      { name: 'conditions', inputs: ['all of the above'], size: conditions.length },
      ...Object.entries(typeUrls).map(([name, type]) => ({
        name: `resources: ${type}`,
        inputs: [name],
        size: this.#dependencies.store.size(type),
      })),
    ];
  }

  async #apply(state: MeshState, first = false): Promise<void> {
    const { store, metrics } = this.#dependencies;
    const difference = await differenceOf(this.#state, state);
    this.#state = state;
    // The first state is announced even where it equals the defaults: nothing was sent of them yet.
    await store.commit(first ? { ...difference, settingsChanged: true } : difference);
    metrics.stateGeneration.inc();
    metrics.services.set(state.services.size);
    for (const [name, type] of Object.entries(typeUrls)) metrics.resources.set({ type: name }, store.size(type));
  }
}
