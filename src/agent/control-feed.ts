import { isDeepStrictEqual } from 'node:util';
import { defaultMeshSettings } from '../config/manifests/schemas/mesh-settings.ts';
import type { ControlCredentials } from '../config/control-credentials.ts';
import type { JsonValue } from '../config/control-settings.ts';
import type { AgentSettings } from '../config/settings.ts';
import type { ControlEndpoint } from '../config/setting-parsers.ts';
import type { LocalPod, MeshSettings, MeshState } from '../model/workload.ts';
import { aborted } from '../process/lifecycle.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logging } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { Slices } from '../timing/slices.ts';
import type { Random, Timers } from '../timing/timers.ts';
import type { NodeIdentity, ResourceChanges } from '../xds/delta-session.ts';
import { MeshReplica } from '../xds/mesh-replica.ts';
import { InspectionClient } from '../xds/inspection-client.ts';
import { XdsClient } from '../xds/xds-client.ts';
import type { XdsStatus } from '../xds/xds-client.ts';
import type { StateDifference } from '../model/state-difference.ts';
import { answerInspection } from './explain.ts';
import type { Node } from './node.ts';
import { AddressDemand } from './address-demand.ts';
import { relayTo } from './control-relay.ts';
import { MeshMemory } from './mesh-memory.ts';
import { NodePodFeed } from './node-pod-feed.ts';
import type { NodePods } from './node-pods.ts';
import { warnAboutTrustDomains } from './state-feed.ts';
import type { StateFeed } from './state-feed.ts';

export interface ControlFeedDependencies {
  readonly settings: AgentSettings;
  readonly control: ControlEndpoint;
  readonly version: string;
  /** Further metadata that the control plane is told of this node. */
  readonly metadata: Readonly<Record<string, JsonValue>>;
  readonly credentials: ControlCredentials;
  readonly logging: Logging;
  readonly metrics: AgentMetrics;
  readonly timers: Timers;
  readonly random: Random;
  /** null: the control plane alone names them. */
  readonly nodePods: NodePods | null;
}

/** Resources that are put in force at once: a first push of a large mesh must not keep questions waiting. */
const CHUNK = 256;
/** What a former run kept is in force after this long without a word of the control plane. Milliseconds. */
const FIRST_ANSWER_DEADLINE = 5000;

/** The mesh from a control plane, together with what the node knows of its own pods. */
export class ControlFeed implements StateFeed {
  readonly task = 'control plane';
  readonly addresses: AddressDemand | null;
  readonly #dependencies: ControlFeedDependencies;
  readonly #ending = new AbortController();
  readonly #replica: MeshReplica;
  readonly #client: XdsClient;
  readonly #nodePods: NodePodFeed | null;
  readonly #memory: MeshMemory | null;
  #node: Node | null = null;
  #running: Promise<void> = Promise.resolve();
  #announceSync: () => void = () => undefined;
  #announceEnd: () => void = () => undefined;

  constructor(dependencies: ControlFeedDependencies) {
    this.#dependencies = dependencies;
    const { settings, logging, metrics, timers, random } = dependencies;
    this.#replica = new MeshReplica(settingsUntilTold(settings));
    this.addresses = settings.xdsOnDemand ? this.#newAddressDemand() : null;
    const inspection = new InspectionClient({
      node: settings.node,
      answer: (question) => answerInspection(this.#node, question),
      timers,
      random,
      logger: logging.component('xds'),
    });
    this.#client = new XdsClient({
      access: {
        endpoint: dependencies.control,
        rootFile: dependencies.control.tls ? settings.rootFile : null,
        tokenFile: settings.tokenFile,
        token: dependencies.credentials.token,
        headers: dependencies.credentials.xdsHeaders,
        serverName: settings.controlName,
        clusterId: settings.clusterId,
      },
      node: nodeIdentity(dependencies),
      demanded: this.addresses,
      network: () => this.#replica.state.settings.network,
      apply: (changes) => this.#apply(changes),
      onSynced: () => {
        this.#confirm().catch((error: unknown) => {
          logging.component('xds').error(errorFields(error), 'what a former run knew could not be settled');
          this.#announceSync();
        });
      },
      onEnded: () => {
        this.#announceEnd();
      },
      onAnswered: (typeUrl, absent, complete) => {
        this.addresses?.responded(typeUrl, absent, complete);
      },
      companion: (client, metadata, signal) => inspection.serve(client, metadata, signal),
      timers,
      random,
      logger: logging.component('xds'),
      metrics,
    });
    this.#memory = this.#newMemory();
    this.#nodePods = this.#newNodePods();
    dependencies.nodePods?.places?.listen(() => {
      this.#reconcile();
    });
  }

  status(): XdsStatus {
    return this.#client.status();
  }

  async start(signal: AbortSignal): Promise<MeshState> {
    const ended = AbortSignal.any([signal, this.#ending.signal]);
    const synced = new Promise<void>((resolve) => (this.#announceSync = resolve));
    const recalled = (await this.#memory?.recall()) ?? false;
    await this.#readNodePods(ended, recalled);
    this.#running = this.#client.run(this.#ending.signal);
    await Promise.race([synced, aborted(ended), ...(recalled ? [this.#outOfReach()] : [])]);
    ended.throwIfAborted();
    this.#memory?.tellUnconfirmed();
    return this.#replica.state;
  }

  /** Whatever comes while the first state is put in force waits its turn behind it. */
  async attach(node: Node): Promise<void> {
    this.#node = node;
    const { control, settings } = this.#dependencies;
    node.plane.setControl(relayTo(control, settings.controlName));
    await node.plane.apply(this.#replica.state);
    if (node.demand !== null) this.addresses?.attach(node.demand);
    this.#place();
    await this.#dependencies.nodePods?.places?.looked();
    this.#reconcile();
  }

  /** The pods of this node as it knows them by itself. */
  get localPods(): ReadonlyMap<string, LocalPod> {
    return this.#nodePods?.localPods ?? new Map();
  }

  async stop(): Promise<void> {
    this.addresses?.stop();
    this.#ending.abort();
    await this.#running;
    await this.#memory?.stop();
  }

  /** Resolves when the control plane does not answer now. */
  async #outOfReach(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#announceEnd = resolve;
      this.#dependencies.timers.after(FIRST_ANSWER_DEADLINE, resolve);
    });
  }

  /** Everything has come once over a connection. */
  async #confirm(): Promise<void> {
    const removals = this.#memory?.confirm() ?? [];
    if (removals.length > 0) await this.#change(() => this.#replica.apply({ upserts: [], removals }));
    this.#node?.certificates?.signerIsBack();
    this.#announceSync();
  }

  #newAddressDemand(): AddressDemand {
    return new AddressDemand({
      node: this.#dependencies.settings.node,
      client: () => this.#client,
      state: () => this.#replica.state,
      drop: (choose) =>
        this.#change(() => this.#replica.apply({ upserts: [], removals: choose() })).catch((error: unknown) => {
          this.#dependencies.logging.component('xds').error(errorFields(error), 'idle addresses could not be dropped');
        }),
    });
  }

  #newMemory(): MeshMemory | null {
    const { settings, control, version, timers, metrics, logging } = this.#dependencies;
    const { stateDir, node, clusterId, xdsOnDemand, stateMaxAge } = settings;
    if (stateDir === null) return null;
    return new MeshMemory({
      stateDir,
      owner: { node, clusterId, version, control: control.target, onDemand: xdsOnDemand },
      maxAge: stateMaxAge,
      client: this.#client,
      replica: this.#replica,
      addresses: this.addresses,
      timers,
      metrics,
      logger: logging.component('xds'),
    });
  }

  /** A former run's pods are served meanwhile, where it kept them and this node's own are not told in time. */
  async #readNodePods(signal: AbortSignal, recalled: boolean): Promise<void> {
    if (this.#nodePods === null) return;
    const reading = this.#nodePods.start(signal).then(() => {
      this.#reconcile();
    });
    if (!recalled) return reading;
    reading.catch(() => undefined);
    const late = new Promise<void>((resolve) => void this.#dependencies.timers.after(FIRST_ANSWER_DEADLINE, resolve));
    await Promise.race([reading, late]);
  }

  #newNodePods(): NodePodFeed | null {
    const { nodePods, settings, timers, logging, metrics } = this.#dependencies;
    if (nodePods === null) return null;
    return new NodePodFeed({
      node: settings.node,
      pods: nodePods,
      settings: () => this.#replica.state.settings,
      apply: (take) => this.#change(() => this.#replica.setNodePods(take(), nodePods.places !== null)),
      timers,
      logger: logging.component('node pods'),
      metrics,
    });
  }

  async #apply(changes: ResourceChanges): Promise<void> {
    const { settings } = this.#replica.state;
    const slices = new Slices();
    this.#memory?.changed();
    for (const chunk of chunksOf(changes)) {
      await this.#change(() => this.#replica.apply(chunk));
      await slices.pause();
    }
    if (settings.network !== this.#replica.state.settings.network) this.addresses?.networkChanged(settings.network);
    if (!isDeepStrictEqual(settings, this.#replica.state.settings)) this.#nodePods?.settingsChanged();
  }

  /** The replica changes when the decisions do, and not before: between the two lie questions. */
  async #change(change: () => StateDifference): Promise<void> {
    if (this.#node === null) {
      change();
      return;
    }
    const { plane } = this.#node;
    const before = this.#replica.state;
    const done: StateDifference[] = [];
    await plane.applyDifference(() => {
      const difference = change();
      done.push(difference);
      return difference;
    });
    warnAboutTrustDomains(before, this.#replica.state, this.#dependencies.logging.component('agent'));
    const podsChanged = done.some(({ localPods }) => localPods.length > 0);
    if (podsChanged) this.#reconcile();
  }

  #place(): ReadonlyMap<string, LocalPod> {
    const { localPods } = this.#replica.state;
    return this.#dependencies.nodePods?.places?.place(localPods) ?? localPods;
  }

  #reconcile(): void {
    if (this.#node === null || this.#ending.signal.aborted) return;
    const { enrolment, endings } = this.#node;
    const { nodePods } = this.#dependencies;
    const pods = this.#place();
    const allKnown = this.#nodePods?.known ?? true;
    enrolment.reconcile(pods, allKnown, (uid) => nodePods?.isStarting(uid) === true);
    endings?.reconcile(
      pods,
      enrolment.proxies().map(({ uid }) => uid),
    );
  }
}

function* chunksOf({ upserts, removals }: ResourceChanges): Generator<ResourceChanges> {
  if (removals.length > 0) yield { upserts: [], removals };
  for (let start = 0; start < upserts.length; start += CHUNK) {
    yield { upserts: upserts.slice(start, start + CHUNK), removals: [] };
  }
}

function settingsUntilTold({ trustDomain, clusterId, clusterDomain, network }: AgentSettings): MeshSettings {
  return { ...defaultMeshSettings, trustDomain, clusterId, clusterDomain, network };
}

/** As a ztunnel names itself, so that a stock control plane knows what to send. */
function nodeIdentity({ settings, metadata, version }: ControlFeedDependencies): NodeIdentity {
  const { instanceIp, podName, podNamespace, clusterDomain, clusterId, node } = settings;
  return {
    id: `ztunnel~${instanceIp}~${podName}.${podNamespace}~${podNamespace}.svc.${clusterDomain}`,
    metadata: {
      NAME: podName,
      NAMESPACE: podNamespace,
      INSTANCE_IPS: instanceIp,
      NODE_NAME: node,
      CLUSTER_ID: clusterId,
      AMBIT_VERSION: version,
      ...metadata,
    },
  };
}
