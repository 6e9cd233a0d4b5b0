import type { DocumentChange } from '../config/mesh-input.ts';
import { meshSettingsSchema } from '../config/manifests/schemas/mesh-settings.ts';
import { MeshDerivation } from '../derive/mesh-derivation.ts';
import type { LocalPod, MeshSettings, MeshState } from '../model/workload.ts';
import { StatePump } from '../process/state-pump.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { runInSlices } from '../timing/slices.ts';
import type { Timers } from '../timing/timers.ts';
import type { NodePods as ReplicaPods } from '../xds/mesh-replica.ts';
import type { NodePods } from './node-pods.ts';

export interface NodePodFeedDependencies {
  readonly node: string;
  readonly pods: NodePods;
  /** In force, as the control plane tells them. */
  readonly settings: () => MeshSettings;
  /** Resolves when the pods that `take` gives are in force; it is to be called when their turn has come. */
  readonly apply: (take: () => ReplicaPods) => Promise<void>;
  readonly timers: Pick<Timers, 'now'>;
  readonly logger: Logger;
  readonly metrics: AgentMetrics;
}

const emptyMeshSettings = meshSettingsSchema.parse({ apiVersion: 'ambit.dev/v1alpha1', kind: 'MeshSettings' });

/** The pods of this node as it knows them by itself, under the settings of its control plane. */
export class NodePodFeed {
  readonly #dependencies: NodePodFeedDependencies;
  readonly #derivation: MeshDerivation;
  readonly #pump: StatePump;
  #known = false;

  constructor(dependencies: NodePodFeedDependencies) {
    this.#dependencies = dependencies;
    const { node, pods, timers, logger, metrics, apply } = dependencies;
    this.#derivation = new MeshDerivation({
      node,
      captured: pods.places === null ? 'wanted' : 'annotated',
      now: () => timers.now(),
    });
    this.#pump = new StatePump({
      derive: (changes) => runInSlices(this.#derivation.update(changes)),
      apply: (staged) => apply(() => podsOf(staged.commit().next)),
      logger,
      metrics,
    });
  }

  /** The input has told of all there are. */
  get known(): boolean {
    return this.#known;
  }

  /** As the documents name them, those that are not wanted included. */
  get localPods(): ReadonlyMap<string, LocalPod> {
    return this.#derivation.state.localPods;
  }

  /** Resolves when the first pods are in force. @throws what the input throws */
  async start(signal: AbortSignal): Promise<void> {
    const { pods, apply } = this.#dependencies;
    const first = await pods.input.start((changes) => {
      this.#pump.submit(changes.filter(saysWhatHolds));
    }, signal);
    const staged = await this.#pump.start([...first.filter(saysWhatHolds), this.#settings()]);
    await apply(() => {
      this.#known = true;
      return podsOf(staged.commit().next);
    });
    this.#pump.open();
  }

  /** Identities, for one, follow the trust domain that the control plane names. */
  settingsChanged(): void {
    this.#pump.submit([this.#settings()]);
  }

  #settings(): DocumentChange {
    const settings = this.#dependencies.settings();
    const { trustDomainAliases, excludedNamespaces, outboundTrafficPolicy: outbound } = settings;
    const lists = {
      trustDomainAliases: [...trustDomainAliases],
      excludedNamespaces: [...excludedNamespaces],
      outboundTrafficPolicy: { ...outbound, allow: [...outbound.allow], refuse: [...outbound.refuse] },
    };
    const spec = { ...emptyMeshSettings.spec, ...settings, ...lists };
    return { kind: 'MeshSettings', key: 'MeshSettings', document: { ...emptyMeshSettings, spec } };
  }
}

/** Settings are the control plane's to say. */
function saysWhatHolds({ kind }: DocumentChange): boolean {
  return kind !== 'MeshSettings';
}

/** Of the workloads only those of this node: the documents say nothing of the rest of the mesh that would be the whole. */
function podsOf({ localPods, workloads, conditions }: MeshState): ReplicaPods {
  const own = [...localPods.values()].flatMap(({ workload }) => {
    const found = workloads.get(workload);
    return found === undefined ? [] : [[workload, found] as const];
  });
  return { pods: localPods, workloads: new Map(own), conditions };
}
