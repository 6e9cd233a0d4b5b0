import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';

import { Agent } from './agent.ts';
import type { AgentOptions } from './agent.ts';
import { bpffsPath, ensureBpffs } from './bpffs.ts';
import { ManifestFolder, pod as podManifest } from './manifests.ts';
import type { Manifest, PodManifest } from './manifests.ts';
import { configure, enter, ipBatch } from './namespaces.ts';
import { ambitBinary } from './paths.ts';
import { exec, killStarted, start } from './processes.ts';
import type { ExecOptions, Finished, Running } from './processes.ts';
import { deleteNamespace, detachNode, removeFolder } from './remove.ts';
import { sweep } from './sweep.ts';
import { temporaryFolderOf } from './temporary.ts';
import { nodeBatch, planTopology, podBatch, podWire, portBatch, runId, settings, wiringBatch } from './topology.ts';
import type { NodePlan, PodPlan, Topology, TopologyOptions } from './topology.ts';

export interface RigOptions extends Partial<TopologyOptions> {
  /** Pods by name; the value is the place of their node, 0 or 1. */
  readonly pods: Readonly<Record<string, number>>;
}

let serial = 0;
const open = new Set<Rig>();

/** Nodes and pods made of network namespaces on this machine, with agents where they are wanted. */
export class Rig {
  readonly run: string;
  readonly folder: string;
  readonly manifests: ManifestFolder;
  readonly agents = new Set<Agent>();
  #topology: Topology;
  #authority: Promise<unknown> | null = null;

  private constructor(topology: Topology) {
    this.run = topology.run;
    this.#topology = topology;
    this.folder = temporaryFolderOf(topology.run);
    this.manifests = new ManifestFolder(join(this.folder, 'manifests'));
  }

  /** Builds it. What a killed run left behind is removed first. */
  static async create(options: RigOptions): Promise<Rig> {
    removeAtTheEnd();
    if (serial === 0) await sweep();
    const full: TopologyOptions = { nodes: 2, prefix: '10.77', congestionControl: 'reno', ...options };
    const rig = new Rig(planTopology(runId(process.pid, ++serial), full));
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
    await ipBatch([`netns add ${pod.netns}`, podWire(pod, this.nodes)]);
    await ipBatch(portBatch(pod), this.node(node).netns);
    await this.#configurePod(pod);
    return pod;
  }

  /** Runs a command to its end inside a pod or node. */
  exec(place: PodPlan | NodePlan, command: readonly string[], options: ExecOptions = {}): Promise<Finished> {
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

  get caFolder(): string {
    return join(this.folder, 'ca');
  }

  /** `ambit ca init`, once, also where two agents are started together. */
  async makeAuthority(): Promise<void> {
    this.#authority ??= exec([ambitBinary, 'ca', 'init', this.caFolder]);
    await this.#authority;
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
    await this.makeAuthority();
    const { name, netns } = this.node(place);
    const agent = new Agent({
      node: name,
      netns,
      manifests: this.manifests.path,
      ca: this.caFolder,
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
    for (const node of hadAgents) await detachNode(node);
  }

  /** Takes everything away. May be called twice. */
  async remove(): Promise<void> {
    open.delete(this);
    await this.stopAgents();
    // Servers and clients are known by the namespace that they were started in.
    await killStarted(`/run/netns/ambit-${this.run}-`);
    await Promise.all([...this.pods, ...this.nodes].map(({ netns }) => deleteNamespace(netns)));
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
