import { mkdir, rm } from 'node:fs/promises';
import { AmbitError } from '../config/errors.ts';
import { noCredentials } from '../config/control-credentials.ts';
import type { ControlCredentials } from '../config/control-credentials.ts';
import type { JsonValue } from '../config/control-settings.ts';
import type { AgentSettings } from '../config/settings.ts';
import type { KubeClient } from '../kube/kube-client.ts';
import type { MeshState } from '../model/workload.ts';
import type { NativeModule } from '../native/binding.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logging } from '../telemetry/logger.ts';
import { sampleLoopLag } from '../telemetry/loop-lag.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import type { Random, Timers } from '../timing/timers.ts';
import type { CertificateSigner } from '../ztunnel/certificates.ts';
import { AccessLogSettings } from './access-log-settings.ts';
import { AgentServers } from './agent-servers.ts';
import { cgroupRoot, ensureBpffs, findPodsCgroup } from './host.ts';
import type { Host } from './host.ts';
import { aborted, Lifecycle } from '../process/lifecycle.ts';
import { ManifestInput } from '../process/manifest-input.ts';
import type { ProcessEvents } from '../process/lifecycle.ts';
import { ControlFeed } from './control-feed.ts';
import { explainAlone } from './explain.ts';
import { KubernetesNode } from './kubernetes/kubernetes-node.ts';
import { ManifestFeed } from './manifest-feed.ts';
import { createNode } from './node.ts';
import type { NodePods } from './node-pods.ts';
import type { Node } from './node.ts';
import { loadSigner } from './signer.ts';
import type { StateFeed } from './state-feed.ts';
import { Readiness } from './readiness.ts';

export interface AgentDependencies {
  readonly settings: AgentSettings;
  readonly version: string;
  readonly logging: Logging;
  readonly metrics: AgentMetrics;
  readonly timers: Timers;
  readonly random: Random;
  readonly host: Host;
  readonly native: NativeModule;
  readonly events: ProcessEvents;
  /** Metadata that a control plane is told of this node beyond what the settings say. */
  readonly nodeMetadata: Readonly<Record<string, JsonValue>>;
  /** null: a token file alone, as the settings name it. */
  readonly credentials: ControlCredentials | null;
  /** null: pods come from manifests, or from the control plane alone. */
  readonly cluster: AgentCluster | null;
}

/** The cluster that this agent takes part in. */
export interface AgentCluster {
  readonly client: KubeClient;
  /** Path of the CNI plugin that came with this agent. */
  readonly cniBinary: string;
}

/**
 * The node agent, put together: the one place that knows all parts. `run` returns after the drain that a signal asked for;
 * what stops the agent from starting is thrown.
 */
export class Agent {
  readonly #dependencies: AgentDependencies;
  readonly #lifecycle: Lifecycle;
  readonly #readiness: Readiness;
  readonly #servers: AgentServers;
  readonly #feed: StateFeed;
  readonly #accessLog: AccessLogSettings;
  #node: Node | null = null;
  readonly #kubernetes: KubernetesNode | null;
  #closeSigner: () => void = () => undefined;
  #cgroup = '';
  #endsForGood = false;

  constructor(dependencies: AgentDependencies) {
    this.#dependencies = dependencies;
    const { cluster } = dependencies;
    this.#kubernetes = cluster === null ? null : new KubernetesNode({ ...dependencies, ...cluster });
    this.#feed = createFeed(dependencies, this.#kubernetes?.pods ?? null);
    const { logging, metrics, timers, events } = dependencies;
    this.#readiness = new Readiness(
      {
        timers,
        health: () => this.#node?.engine.health() ?? Promise.reject(new Error('the engine is not there yet')),
        pods: () => this.#node?.enrolment.status() ?? [],
        certificates: () => this.#node?.certificates?.status() ?? [],
      },
      [this.#feed.task, 'engine', 'first enrolment'],
    );
    this.#lifecycle = new Lifecycle({
      events,
      logger: logging.component('agent'),
      onFault: (error) => {
        metrics.uncaughtErrors.inc();
        this.#readiness.setFault(error);
      },
    });
    this.#accessLog = new AccessLogSettings(dependencies.settings, (filter) => {
      this.#node?.engine.setAccessLogFilter(filter);
    });
    this.#servers = this.#createServers();
  }

  /** Resolves with the port of the admin pages once that is bound: while two agents overlap, the former one has it. */
  get adminPort(): Promise<number | null> {
    return this.#servers.adminPort;
  }

  async run(): Promise<void> {
    // Waiting timers and a drained engine keep no process alive, but the agent's work is not over before `run` is.
    const alive = setInterval(() => undefined, 2 ** 30);
    const stopSampling = sampleLoopLag(this.#dependencies.metrics.loopLagSeconds);
    this.#lifecycle.install();
    try {
      await this.#createStateDir();
      this.#servers.start();
      await this.#startUnlessStopped();
      await aborted(this.#lifecycle.stopping);
      await this.#drain();
    } finally {
      await this.#stop();
      this.#lifecycle.uninstall();
      stopSampling();
      clearInterval(alive);
    }
  }

  /** For root only: it holds the mesh's manifests, and whoever writes there decides what a restart believes. */
  async #createStateDir(): Promise<void> {
    const { stateDir } = this.#dependencies.settings;
    if (stateDir === null) return;
    try {
      await mkdir(stateDir, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new AmbitError('STATE_DIR_UNUSABLE', `--state-dir ${stateDir} cannot be made; name another folder`, {
        cause,
      });
    }
  }

  /** A signal that comes while the agent starts, or waits for its control plane, asks for its end: that is no failure. */
  async #startUnlessStopped(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      if (error !== this.#lifecycle.stopping.reason) throw error;
    }
  }

  async #start(): Promise<void> {
    const { settings, logging, host } = this.#dependencies;
    await ensureBpffs(host, settings.bpffs, logging.component('host'));
    const cgroup = await cgroupRoot(host, settings.cgroupRoot);
    this.#cgroup = cgroup;
    const { signer, close } = await loadSigner({
      ...this.#dependencies,
      credentials: this.#dependencies.credentials ?? noCredentials,
    });
    this.#closeSigner = close;
    const state = await this.#feed.start(this.#lifecycle.stopping);
    this.#readiness.done(this.#feed.task);
    await this.#startEngine(state, cgroup, signer);
  }

  /** The engine takes pods in one by one, so the first state is in force before its first question comes. */
  async #startEngine(state: MeshState, cgroup: string, signer: CertificateSigner | null): Promise<void> {
    const { settings } = this.#dependencies;
    const node = createNode(this.#dependencies, {
      initial: state,
      cgroup,
      podsCgroup: settings.podsCgroup ?? (settings.kubernetes ? await findPodsCgroup(cgroup) : null),
      signer,
      addresses: this.#feed.addresses,
      placedLater: this.#kubernetes !== null,
      onChange: () => this.#kubernetes?.changed(),
    });
    this.#node = node;
    node.engine.setAccessLogFilter(this.#accessLog.filter);
    const adopted = await node.engine.start();
    this.#readiness.done('engine');
    if (adopted.length > 0) {
      this.#dependencies.logging.component('agent').info({ pods: adopted.length }, 'took over pods of a former agent');
    }
    node.enrolment.adopt(adopted);
    await this.#feed.attach(node);
    this.#readiness.done('first enrolment');
    const adoptedPods = new Set(adopted.map(({ uid }) => uid));
    await this.#kubernetes?.begin({ node, localPods: () => this.#feed.localPods, adopted: adoptedPods });
  }

  /** Hooks stay in place, closed: a pod never falls out of the mesh because its agent is replaced. */
  async #drain(): Promise<void> {
    this.#readiness.setDraining();
    const { settings, logging, timers } = this.#dependencies;
    const begun = timers.now();
    this.#endsForGood = (await this.#kubernetes?.endsForGood()) ?? false;
    if (this.#endsForGood) await this.#kubernetes?.leave();
    this.#node?.enrolment.stop();
    await Promise.race([this.#node?.proxies?.drain(settings.drainDeadline), aborted(this.#lifecycle.forcing)]);
    const retired = this.#endsForGood ? undefined : this.#kubernetes?.retire();
    const drained = this.#node?.engine.drain(Math.max(0, settings.drainDeadline - (timers.now() - begun)));
    const report = await Promise.race([drained, aborted(this.#lifecycle.forcing)]);
    if (report !== undefined) logging.component('agent').info({ ...report }, 'drained');
    await retired;
  }

  /** Ends whatever was started, also after a start that failed half-way. */
  async #stop(): Promise<void> {
    this.#node?.enrolment.stop();
    this.#node?.certificates?.stop();
    this.#node?.policies.stop();
    this.#node?.gate.stop();
    this.#node?.names.stop();
    await this.#feed.stop();
    await this.#node?.proxies?.stop();
    this.#closeSigner();
    try {
      await this.#node?.engine.stop();
    } catch (error) {
      this.#dependencies.logging.component('agent').error(errorFields(error), 'the engine did not stop cleanly');
    }
    await this.#kubernetes?.stop();
    if (this.#endsForGood) await this.#leaveNode();
    await this.#servers.stop();
  }

  /** Nobody comes who would serve what is captured, or go on with what is kept. */
  async #leaveNode(): Promise<void> {
    const { settings, native, logging } = this.#dependencies;
    const logger = logging.component('agent');
    try {
      if (settings.stateDir !== null) await rm(settings.stateDir, { recursive: true, force: true });
    } catch (error) {
      logger.error(errorFields(error), 'what the control plane had said stays behind: remove the folder by hand');
    }
    try {
      const removed = native.detach(settings.node, settings.bpffs, this.#cgroup, settings.hostProc);
      logger.info({ removed }, 'the node is left as it was');
    } catch (error) {
      logger.error(errorFields(error), 'what is captured could not be let go: run `ambit detach` on the node');
    }
  }

  #createServers(): AgentServers {
    const { settings, version, logging, metrics, timers, random } = this.#dependencies;
    return new AgentServers({
      settings,
      logging,
      accessLog: this.#accessLog,
      timers,
      random,
      registry: metrics.registry,
      readiness: this.#readiness,
      engine: () => this.#node?.engine ?? null,
      waypointMetrics: () => this.#node?.waypointMetrics.read() ?? Promise.resolve([]),
      dump: () => ({
        state: this.#node?.plane.state ?? null,
        certificates: this.#node?.certificates?.status() ?? [],
        flows: (...page) => this.#node?.engine.flows(...page) ?? [],
        pods: this.#node?.enrolment.status() ?? [],
        proxies: this.#node?.proxies?.status() ?? [],
        settings: { ...settings },
        version,
      }),
      explain: (request) => explainAlone(this.#node, request),
    });
  }
}

/** @param nodePods what the cluster tells of this node's pods; null: it is in none */
function createFeed(dependencies: AgentDependencies, nodePods: NodePods | null): StateFeed {
  const { settings, nodeMetadata: metadata, credentials } = dependencies;
  if (settings.control !== null)
    return new ControlFeed({
      ...dependencies,
      control: settings.control,
      metadata,
      credentials: credentials ?? noCredentials,
      nodePods: nodePods ?? podsOfManifests(dependencies),
    });
  // The settings name manifests wherever they name no control plane.
  return new ManifestFeed({ ...dependencies, path: settings.manifests ?? '' });
}

function podsOfManifests({ settings, timers, logging, metrics }: AgentDependencies): NodePods | null {
  const { manifests, stateDir, manifestPoll } = settings;
  if (manifests === null) return null;
  const logger = logging.component('manifests');
  const input = new ManifestInput({ path: manifests, stateDir, pollInterval: manifestPoll, timers, logger, metrics });
  return { input, places: null, isStarting: () => false };
}
