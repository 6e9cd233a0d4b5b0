import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentSettings } from '../../config/settings.ts';
import { dataplaneMode, joins } from '../../derive/membership.ts';
import type { KubernetesInput } from '../../kube/kubernetes-input.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import type { LocalPod } from '../../model/workload.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logging } from '../../telemetry/logger.ts';
import type { AgentMetrics } from '../../telemetry/metrics.ts';
import { withDeadline } from '../../timing/deadline.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { nodeNetnsOf } from '../node.ts';
import type { Node } from '../node.ts';
import type { NodePods } from '../node-pods.ts';
import { Changes } from './changes.ts';
import { CniInstaller } from './cni-installer.ts';
import { CniRequests } from './cni-requests.ts';
import { CniServer } from './cni-server.ts';
import { HostProcesses } from './host-processes.ts';
import { NamespacesFile } from './namespaces-file.ts';
import { NodeDocuments } from './node-documents.ts';
import { createNodeInput, observerOf } from './node-input.ts';
import { OwnDaemonSet } from './own-daemon-set.ts';
import { PodEvents } from './pod-events.ts';
import { PodPlaces } from './pod-places.ts';
import { PodStatusWriter } from './pod-status-writer.ts';

export interface KubernetesNodeDependencies {
  readonly settings: AgentSettings;
  readonly version: string;
  readonly client: KubeClient;
  /** Path of the CNI plugin that came with this agent. */
  readonly cniBinary: string;
  readonly logging: Logging;
  readonly metrics: AgentMetrics;
  readonly timers: Timers;
  readonly random: Random;
}

/** What the cluster's side needs of the rest of the agent. */
export interface Served {
  readonly node: Pick<Node, 'enrolment' | 'plane'>;
  /** Pods of this node as the documents name them. */
  readonly localPods: () => ReadonlyMap<string, LocalPod>;
  /** UIDs of pods that a former agent left captured. */
  readonly adopted: ReadonlySet<string>;
}

const LIMIT_SECONDS = 30;
/** Taken from the time that open connections have to end. */
const LEAVE_MS = 10_000;

/** The cluster's side of an agent: which pods there are, where, and who is told what has become of them. */
export class KubernetesNode {
  readonly pods: NodePods;
  readonly #dependencies: KubernetesNodeDependencies;
  readonly #input: KubernetesInput;
  readonly #documents: NodeDocuments;
  readonly #places: PodPlaces;
  readonly #changes = new Changes();
  readonly #daemonSet: OwnDaemonSet;
  #server: CniServer | null = null;
  #installer: CniInstaller | null = null;
  #status: PodStatusWriter | null = null;
  #namespaces: NamespacesFile | null = null;
  #served: Served | null = null;
  #reconciling = false;

  constructor(dependencies: KubernetesNodeDependencies) {
    this.#dependencies = dependencies;
    const { settings, client, logging, metrics, timers, random } = dependencies;
    const common = { timers, random, metrics, logger: logging.component('kubernetes') };
    this.#input = createNodeInput({ ...common, node: settings.node, client });
    const { node, podNamespace: namespace, daemonSet: name } = settings;
    const observer = observerOf('daemonsets', common);
    this.#daemonSet = new OwnDaemonSet({ ...common, client, node, namespace, name, observer });
    this.#documents = new NodeDocuments(this.#input);
    const { hostProc } = settings;
    const processes = new HostProcesses(hostProc, nodeNetnsOf(settings) ?? join(hostProc, '1/ns/net'));
    this.#places = new PodPlaces({ ...common, processes, hostProc });
    const isStarting = (uid: string): boolean => this.#documents.isStarting(uid);
    this.pods = { input: this.#documents, places: this.#places, isStarting };
    for (const source of [this.#documents.changes, this.#places.changes])
      source.listen(() => {
        this.changed();
      });
  }

  /** Pods, or what the engine has of them, may have changed. */
  changed(): void {
    this.#changes.announce();
    if (this.#reconciling || this.#status === null) return;
    this.#reconciling = true;
    // Changes come in bursts, and each look is at all pods.
    setImmediate(() => {
      this.#reconciling = false;
      this.#status?.reconcile();
      this.#namespaces?.changed();
    });
  }

  /** To be called when the engine was told of all pods. Resolves when new ones may come. @throws AmbitError */
  async begin(served: Served): Promise<void> {
    this.#served = served;
    this.#status = this.#createStatus(served, this.#startedOutside(served));
    this.#namespaces = this.#createNamespaces(served);
    this.#server = this.#createServer(served);
    await this.#server.start();
    this.#daemonSet.start();
    this.changed();
    this.#installer = this.#createInstaller();
    await this.#installer?.start();
  }

  /** Whether nobody comes after this agent. */
  endsForGood(): Promise<boolean> {
    return this.#daemonSet.endsForGood();
  }

  /** Whoever comes next answers the plugin, and writes what is in force. */
  async retire(): Promise<void> {
    this.#namespaces?.stop();
    await Promise.all([this.#installer?.stop(), this.#status?.stop(), this.#server?.stop()]);
    this.#status = null;
  }

  /**
   * The configuration of the node becomes what it was, every pod leaves the mesh live, and says so. What takes too long is left to
   * whoever removes the kernel's part at the end.
   */
  async leave(): Promise<void> {
    await this.#removePlugin();
    this.#served?.node.enrolment.releaseAll();
    this.changed();
    const { timers, logging } = this.#dependencies;
    const late = (): Error => new Error(`not within ${LEAVE_MS / 1000} s`);
    try {
      await withDeadline(LEAVE_MS, timers, late, (signal) =>
        this.#changes.until(() => this.#hasLeft() || null, signal),
      );
    } catch (error) {
      logging.component('kubernetes').warn(errorFields(error), 'not every pod could be let go, or be told so');
    }
    await this.retire();
  }

  #hasLeft(): boolean {
    return (this.#served?.node.enrolment.hasLeft ?? true) && (this.#status?.isDone ?? true);
  }

  /** Ends what is left; after the signal that was given to the input. */
  async stop(): Promise<void> {
    await this.#server?.stop();
    await this.#installer?.stop();
    await this.#status?.stop();
    this.#namespaces?.stop();
    await this.#daemonSet.stop();
    await this.#input.stopped();
    await this.#places.stop();
    this.#dependencies.client.close();
  }

  async #removePlugin(): Promise<void> {
    try {
      await this.#installer?.remove();
      this.#namespaces?.stop();
      await rm(this.#namespacesPath, { force: true });
    } catch (error) {
      const text = 'the CNI configuration could not be put back; remove 00-ambit.conflist by hand';
      this.#dependencies.logging.component('kubernetes').error(errorFields(error), text);
    }
  }

  get #namespacesPath(): string {
    return join(this.#dependencies.settings.runDir, 'namespaces.json');
  }

  get #socketPath(): string {
    return join(this.#dependencies.settings.runDir, 'cni.sock');
  }

  #createServer({ node, localPods }: Served): CniServer {
    const { timers, logging, metrics } = this.#dependencies;
    const logger = logging.component('cni');
    const requests = new CniRequests({
      documents: this.#documents,
      places: this.#places,
      localPod: (uid) => localPods().get(uid) ?? null,
      enrolment: node.enrolment,
      isExcluded: (namespace) => node.plane.state.settings.excludedNamespaces.includes(namespace),
      changes: this.#changes,
      timers,
    });
    return new CniServer({
      path: this.#socketPath,
      answer: (request, signal) => requests.answer(request, signal),
      timers,
      logger,
      metrics,
    });
  }

  /**
   * Pods that run, are to join by a label of their own, and were captured by nobody: the plugin knows of namespaces alone, so it
   * has let them start while no agent was there.
   */
  #startedOutside({ node, localPods, adopted }: Served): ReadonlySet<string> {
    const { settings } = node.plane.state;
    const labels = new Map([...this.#documents.namespaces].map(({ metadata }) => [metadata.name, metadata.labels]));
    const runs = (uid: string): boolean => this.#documents.podOf(uid)?.status.phase === 'Running';
    const found = [...localPods().values()].filter(
      ({ uid, namespace, wanted }) =>
        wanted && runs(uid) && !adopted.has(uid) && !joins(labels.get(namespace) ?? {}, settings),
    );
    return new Set(found.map(({ uid }) => uid));
  }

  #createStatus({ node }: Served, startedOutside: ReadonlySet<string>): PodStatusWriter {
    const { settings, client, timers, random, logging, metrics } = this.#dependencies;
    return new PodStatusWriter({
      client,
      events: new PodEvents({ client, node: settings.node, timers, random }),
      pods: () => this.#documents.pods,
      podOf: (uid) => this.#documents.podOf(uid),
      status: (uid) => node.enrolment.podStatus(uid),
      refusal: (uid) => this.#places.refusal(uid)?.message ?? null,
      startedOutside,
      timers,
      random,
      logger: logging.component('kubernetes'),
      metrics,
    });
  }

  #createNamespaces({ node }: Served): NamespacesFile {
    const { timers, logging } = this.#dependencies;
    return new NamespacesFile({
      path: this.#namespacesPath,
      namespaces: () => this.#documents.namespaces,
      pods: () => this.#documents.pods,
      joins: ({ namespace, labels, podLabels }) => {
        const { settings } = node.plane.state;
        if (settings.excludedNamespaces.includes(namespace)) return false;
        return joins(labels, settings) || podLabels?.[dataplaneMode] === 'ambient';
      },
      timers,
      logger: logging.component('kubernetes'),
    });
  }

  /** null: nobody has named the folders. */
  #createInstaller(): CniInstaller | null {
    const { settings, version, cniBinary, timers, logging, metrics } = this.#dependencies;
    const { cniBinDir, cniConfDir, podNamespace } = settings;
    if (cniBinDir === null || cniConfDir === null) return null;
    return new CniInstaller({
      binary: cniBinary,
      version,
      binDir: cniBinDir,
      confDir: cniConfDir,
      entry: {
        socket: this.#socketPath,
        limitSeconds: LIMIT_SECONDS,
        namespacesFile: this.#namespacesPath,
        systemNamespaces: [...new Set(['kube-system', podNamespace])],
        agentStarted: timers.now(),
      },
      timers,
      logger: logging.component('cni'),
      metrics,
    });
  }
}
