import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';

import { Agent } from './agent.ts';
import type { AgentFeed, AgentOptions } from './agent.ts';
import { bpffsPath, ensureBpffs } from './bpffs.ts';
import { removeCgroups } from './cgroups.ts';
import { ControlProcess, writeToken } from './control-process.ts';
import type { ControlOptions } from './control-process.ts';
import { ManifestFolder, pod as podManifest } from './manifests.ts';
import type { Manifest, PodManifest } from './manifests.ts';
import { configure, enter, ipBatch } from './namespaces.ts';
import { ambitBinary } from './paths.ts';
import { exec, killStarted, start } from './processes.ts';
import type { ExecOptions, Finished, Running } from './processes.ts';
import { deleteNamespace, detachNode, removeFolder } from './remove.ts';
import { sweep } from './sweep.ts';
import { temporaryFolderOf } from './temporary.ts';
import {
  bridgeInterface,
  controlBatch,
  controlWiringBatch,
  managementBatch,
  nodeBatch,
  nodePort,
  planTopology,
  podBatch,
  podWire,
  portBatch,
  runId,
  settings,
  wiringBatch,
} from './topology.ts';
import type { ControlPlan, NodePlan, PodPlan, Topology, TopologyOptions } from './topology.ts';

export interface RigOptions extends Partial<TopologyOptions> {
  /** Pods by name; the value is the place of their node, 0 or 1. */
  readonly pods: Readonly<Record<string, number>>;
  /** Where agents have the mesh from: manifests that each reads itself, unless given, or one control plane for all. */
  readonly feed?: AgentFeed['kind'];
}

let serial = 0;
const open = new Set<Rig>();

/** Nodes and pods made of network namespaces on this machine, with agents where they are wanted. */
export class Rig {
  readonly run: string;
  readonly folder: string;
  readonly manifests: ManifestFolder;
  readonly feed: AgentFeed['kind'];
  readonly agents = new Set<Agent>();
  readonly #tokens = new Map<string, Promise<string>>();
  #topology: Topology;
  #prepared: Promise<unknown> | null = null;
  #control: ControlProcess | null = null;

  private constructor(topology: Topology, feed: AgentFeed['kind']) {
    this.run = topology.run;
    this.feed = feed;
    this.#topology = topology;
    this.folder = temporaryFolderOf(topology.run);
    this.manifests = new ManifestFolder(join(this.folder, 'manifests'));
  }

  /** Builds it. What a killed run left behind is removed first. */
  static async create({ feed = 'manifests', ...options }: RigOptions): Promise<Rig> {
    removeAtTheEnd();
    if (serial === 0) await sweep();
    const full: TopologyOptions = { nodes: 2, prefix: '10.77', congestionControl: 'reno', ...options };
    const rig = new Rig(planTopology(runId(process.pid, ++serial), full), feed);
    open.add(rig);
    try {
      await rig.#build();
    } catch (error) {
      await rig.remove();
      throw error;
    }
    return rig;
  }

  async #build(): Promise<void> {
    await mkdir(this.manifests.path, { recursive: true });
    await ipBatch(wiringBatch(this.#topology));
    const { congestionControl } = this.#topology.options;
    const nodes = this.nodes.map((node) =>
      configure(node.netns, settings('node', congestionControl), nodeBatch(node, this.#topology)),
    );
    await Promise.all(nodes);
    await Promise.all(this.#topology.pods.map((pod) => this.#configurePod(pod)));
  }

  #configurePod(pod: PodPlan): Promise<void> {
    const lines = podBatch(pod, this.node(pod.node));
    return configure(pod.netns, settings('pod', this.#topology.options.congestionControl), lines);
  }

  get nodes(): readonly NodePlan[] {
    return this.#topology.nodes;
  }

  get pods(): readonly PodPlan[] {
    return this.#topology.pods;
  }

  node(place: number): NodePlan {
    const node = this.nodes[place];
    if (node === undefined) throw new RangeError(`the rig has no node ${place}`);
    return node;
  }

  pod(name: string): PodPlan {
    const pod = this.pods.find((candidate) => candidate.name === name);
    if (pod === undefined) throw new RangeError(`the rig has no pod ${name}`);
    return pod;
  }

  /** A pod more, while everything runs. */
  async addPod(name: string, node: number): Promise<PodPlan> {
    const { options } = this.#topology;
    this.#topology = planTopology(this.run, { ...options, pods: { ...options.pods, [name]: node } });
    const pod = this.pod(name);
    await this.#wirePod(pod);
    return pod;
  }

  /** The pod's network is gone, and another with the same addresses is there. */
  async renewPod(name: string): Promise<void> {
    const pod = this.pod(name);
    await killStarted(`/run/netns/${pod.netns}`);
    // As CNI plugins do it: a namespace that somebody still holds open would keep its wire.
    await ipBatch([`link del ${nodePort(pod)}`], this.node(pod.node).netns);
    await deleteNamespace(pod.netns);
    await this.#wirePod(pod);
    // A CNI announces who has the address now.
    await this.exec(this.node(pod.node), ['ip', 'neighbour', 'flush', 'dev', bridgeInterface]);
  }

  async #wirePod(pod: PodPlan): Promise<void> {
    await ipBatch([`netns add ${pod.netns}`, podWire(pod, this.nodes)]);
    await ipBatch(portBatch(pod), this.node(pod.node).netns);
    await this.#configurePod(pod);
  }

  /** Runs a command to its end inside a pod or node. */
  exec(
    place: PodPlan | NodePlan | ControlPlan,
    command: readonly string[],
    options: ExecOptions = {},
  ): Promise<Finished> {
    return exec(enter(place.netns, command), options);
  }

  start(place: PodPlan | NodePlan, command: readonly string[]): Running {
    return start(enter(place.netns, command));
  }

  /** The document of one of the rig's pods. */
  podManifest(name: string, options: Partial<PodManifest> & Pick<PodManifest, 'namespace'>): Manifest {
    const pod = this.pod(name);
    return podManifest({
      name,
      nodeName: this.node(pod.node).name,
      netns: pod.netns,
      addresses: [pod.ipv4, pod.ipv6],
      ...options,
    });
  }

  /** Whose certificates the mesh trusts; a control plane makes it when it starts for the first time. */
  get caFolder(): string {
    return join(this.feed === 'control' ? this.#controlStateDir : this.folder, 'ca');
  }

  get #controlStateDir(): string {
    return join(this.folder, 'control');
  }

  /** What agents need before they start: a CA, or the control plane. Once, also where two agents are started together. */
  async prepare(): Promise<void> {
    const told = this.feed === 'control';
    this.#prepared ??= told ? this.#prepareControl() : exec([ambitBinary, 'ca', 'init', this.caFolder]);
    await this.#prepared;
  }

  /** Tokens at the same time: whoever comes first makes the key that signs them. */
  async #prepareControl(): Promise<void> {
    await Promise.all([this.startControl(), ...this.nodes.map(({ name }) => this.#token(name))]);
  }

  /** The control plane that was started last. */
  get control(): ControlProcess {
    if (this.#control === null) throw new RangeError('no control plane was started');
    return this.#control;
  }

  get controlPlan(): ControlPlan {
    return this.#topology.control;
  }

  /** Starts the control plane, for the first time or after its end, and waits until it is ready. */
  async startControl(options: Partial<ControlOptions> = {}): Promise<ControlProcess> {
    if (this.#control === null) await this.#wireControl();
    this.#control = new ControlProcess({
      netns: this.controlPlan.netns,
      manifests: this.manifests.path,
      stateDir: this.#controlStateDir,
      ...options,
    });
    await this.#control.ready();
    return this.#control;
  }

  async #wireControl(): Promise<void> {
    await ipBatch(controlWiringBatch(this.#topology));
    const { congestionControl } = this.#topology.options;
    await configure(this.controlPlan.netns, settings('pod', congestionControl), controlBatch(this.#topology));
    await Promise.all(this.nodes.map((node) => ipBatch(managementBatch(node), node.netns)));
  }

  /** What the agent of a node is told of where the mesh comes from. */
  async feedOf(place: number): Promise<AgentFeed> {
    const { manifests, caFolder, feed: kind } = this;
    if (kind === 'manifests') return { kind, manifests: manifests.path, ca: caFolder };
    const tokenFile = await this.#token(this.node(place).name);
    return { kind, address: `${this.controlPlan.ipv4}:15012`, tokenFile, rootFile: join(caFolder, 'root-cert.pem') };
  }

  #token(node: string): Promise<string> {
    const made = this.#tokens.get(node) ?? writeToken(this.#controlStateDir, node);
    this.#tokens.set(node, made);
    return made;
  }

  /** Starts an agent on a node and waits until it is ready. */
  async startAgent(place: number, options: Partial<AgentOptions> = {}): Promise<Agent> {
    const agent = await this.launchAgent(place, options);
    await agent.ready();
    return agent;
  }

  /** Starts an agent without waiting for it. */
  async launchAgent(place: number, options: Partial<AgentOptions> = {}): Promise<Agent> {
    await ensureBpffs();
    await this.prepare();
    const { name, netns } = this.node(place);
    const agent = new Agent({
      node: name,
      netns,
      feed: await this.feedOf(place),
      stateDir: join(this.folder, `state-${name}`),
      accessLog: join(this.folder, `access-${name}.log`),
      bpffs: bpffsPath,
      ...options,
    });
    this.agents.add(agent);
    return agent;
  }

  /** Ends the agents and takes their hooks out of the kernel; pods and servers stay. */
  async stopAgents(): Promise<void> {
    await Promise.all([...this.agents].map((agent) => agent.stop('SIGKILL')));
    const hadAgents = new Set([...this.agents].map((agent) => agent.options.node));
    this.agents.clear();
    await Promise.all([...hadAgents].map((node) => detachNode(node)));
  }

  /** Takes everything away. May be called twice. */
  async remove(): Promise<void> {
    open.delete(this);
    await this.stopAgents();
    // Servers and clients are known by the namespace that they were started in.
    await killStarted(`/run/netns/ambit-${this.run}-`);
    const places = [...this.pods, ...this.nodes, this.controlPlan];
    await Promise.all(places.map(({ netns }) => deleteNamespace(netns)));
    await removeCgroups(this.run);
    await removeFolder(this.folder);
  }
}

let watching = false;

/** Interrupted or failed: nothing of ours may stay, and the status must not look like success. */
function removeAtTheEnd(): void {
  if (watching) return;
  watching = true;
  const statuses = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
  for (const [signal, status] of Object.entries(statuses)) {
    process.once(signal, () => void removeAll(status));
  }
  process.once('uncaughtException', (error) => {
    console.error(error);
    void removeAll(1);
  });
}

async function removeAll(status: number): Promise<void> {
  await killStarted();
  const results = await Promise.allSettled([...open].map((rig) => rig.remove()));
  for (const result of results) if (result.status === 'rejected') console.error(result.reason);
  process.exit(status);
}
