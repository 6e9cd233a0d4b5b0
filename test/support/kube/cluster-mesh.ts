import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { findLines } from '../access-log.ts';
import type { AccessLine } from '../access-log.ts';
import type { Agent, AgentOptions } from '../agent.ts';
import { makeCgroup, podsCgroup } from '../cgroups.ts';
import type { CgroupDriver } from '../cgroups.ts';
import { tracesIn } from '../kernel-state.ts';
import { namespace as namespaceManifest, service } from '../manifests.ts';
import type { Manifest } from '../manifests.ts';
import { sum } from '../metrics.ts';
import type { Running } from '../processes.ts';
import { Rig } from '../rig.ts';
import { call, endpoint, serve, whoIn } from '../testkit.ts';
import { waitFor } from '../wait.ts';
import { apiPort, ClusterApi } from './cluster-api.ts';
import type { ApiPod, Labels } from './cluster-api.ts';
import { newContainerId, runPlugin, startContainer } from './kubelet.ts';
import type { CniResult, Sandbox } from './kubelet.ts';

export interface ClusterMeshOptions {
  /** Places of network by name, each for one pod at a time; the value is the place of the node. */
  readonly places: Readonly<Record<string, number>>;
  readonly namespaces: Readonly<Record<string, Labels>>;
  readonly driver?: CgroupDriver;
  readonly nodes?: number;
  /** Further documents for the control plane. */
  readonly documents?: readonly Manifest[];
}

export interface PodOptions {
  readonly namespace: string;
  /** Its place; also its name, unless one is given. */
  readonly place: string;
  readonly name?: string;
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly spec?: Readonly<Record<string, unknown>>;
  /** As the kubelet knows it, where that is not the UID of the API: of a static pod. */
  readonly kubeletUid?: string;
  /** In its status, where they are not those of its place. */
  readonly addresses?: readonly string[];
}

/** A pod of the cluster. */
export class ClusterPod {
  readonly uid = randomUUID() as string;
  readonly options: PodOptions;
  sandbox: Sandbox;
  /** Of its status; none before the kubelet has reported. */
  addresses: readonly string[] = [];
  phase = 'Pending';
  labels: Labels;
  processes: Running[] = [];

  constructor(options: PodOptions, rig: Rig) {
    this.options = options;
    this.labels = options.labels ?? {};
    const { namespace, place, name = place, kubeletUid } = options;
    const plan = rig.pod(place);
    this.sandbox = { uid: kubeletUid ?? this.uid, namespace, name, container: newContainerId(), plan };
  }

  get netns(): string {
    return this.sandbox.plan.netns;
  }

  /** Endpoint of a server of the pod. */
  at(port: number, family: 'ipv4' | 'ipv6' = 'ipv4'): string {
    return endpoint(this.sandbox.plan[family], port);
  }
}

const agentPlaces = ['agent', 'successor'] as const;
const system = 'istio-system';

/**
 * A cluster without a cluster: nodes and pods are network namespaces with processes in cgroups, the API server is ours, and real
 * are the agents, each in a pod of its own, the control plane, the CNI plugin and the traffic.
 */
export class ClusterMesh {
  readonly rig: Rig;
  readonly api = new ClusterApi();
  readonly #options: ClusterMeshOptions;
  #edits = 0;

  private constructor(rig: Rig, options: ClusterMeshOptions) {
    this.rig = rig;
    this.#options = options;
  }

  static async create(options: ClusterMeshOptions): Promise<ClusterMesh> {
    const { nodes = 1, places } = options;
    const agents = Array.from({ length: nodes }, (_, node) => agentPlaces.map((name) => [`${name}${node}`, node]));
    const pods = { ...places, ...(Object.fromEntries(agents.flat()) as Readonly<Record<string, number>>) };
    const mesh = new ClusterMesh(await Rig.create({ feed: 'control', nodes, pods }), options);
    try {
      await mesh.#start();
    } catch (error) {
      await mesh.remove();
      throw error;
    }
    return mesh;
  }

  async #start(): Promise<void> {
    const { documents = [], namespaces } = this.#options;
    await this.api.start();
    this.api.putDaemonSet({});
    for (const [name, labels] of Object.entries({ 'kube-system': {}, [system]: {}, ...namespaces })) {
      this.api.putNamespace(name, labels);
      await this.rig.manifests.write(`namespace-${name}`, [namespaceManifest(name, labels)]);
    }
    await this.rig.manifests.write('documents', documents);
    await makeCgroup(podsCgroup(this.rig.run, this.driver));
    await this.rig.prepare();
    await Promise.all(this.rig.nodes.map((node, place) => this.#prepareNode(node.name, place)));
  }

  async #prepareNode(name: string, place: number): Promise<void> {
    const { ipv4, managementIpv4 } = this.rig.node(place);
    const route = ['ip', 'route', 'add', ipv4.replace(/\.1$/, '.0/24'), 'via', managementIpv4];
    await this.rig.exec(this.rig.controlPlan, route);
    for (const agent of agentPlaces) await this.api.serveIn(this.rig.pod(`${agent}${place}`).netns);
    this.api.putNode(name, { 'kubernetes.io/os': 'linux' });
    const { bin, conf } = this.cniFolders(place);
    for (const folder of [bin, conf]) await mkdir(folder, { recursive: true });
    const conflist = { cniVersion: '1.0.0', name: 'rig', plugins: [{ type: 'rig' }] };
    await writeFile(join(conf, '10-rig.conflist'), JSON.stringify(conflist));
  }

  /** The node's own, as its runtime sees them. */
  cniFolders(place: number): { readonly bin: string; readonly conf: string } {
    const folder = join(this.rig.folder, `cni-${this.rig.node(place).name}`);
    return { bin: join(folder, 'bin'), conf: join(folder, 'net.d') };
  }

  runDir(place: number): string {
    return join(this.rig.folder, `run-${this.rig.node(place).name}`);
  }

  get driver(): CgroupDriver {
    return this.#options.driver ?? 'systemd';
  }

  /** An agent that is ready. */
  async startAgent(place = 0, options: Partial<AgentOptions> = {}): Promise<Agent> {
    const agent = await this.launchAgent(place, 'agent', options);
    await agent.ready();
    return agent;
  }

  /** @param as two that overlap have a pod each */
  async launchAgent(
    place: number,
    as: (typeof agentPlaces)[number],
    options: Partial<AgentOptions> = {},
  ): Promise<Agent> {
    const { bin, conf } = this.cniFolders(place);
    const flags = {
      kubernetes: 'true',
      'kubernetes-api': `http://127.0.0.1:${apiPort}`,
      'node-netns': `/run/netns/${this.rig.node(place).netns}`,
      'run-dir': this.runDir(place),
      'cni-bin-dir': bin,
      'cni-conf-dir': conf,
      'pods-cgroup': podsCgroup(this.rig.run, this.driver),
      'drain-deadline': '1s',
    };
    const { flags: further = [], ...others } = options;
    return this.rig.launchAgent(place, {
      netns: this.rig.pod(`${as}${place}`).netns,
      flags: [...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]), ...further],
      ...others,
    });
  }

  /** A pod that the API server does not have yet. */
  plan(options: PodOptions): ClusterPod {
    return new ClusterPod(options, this.rig);
  }

  /** A pod that the scheduler has given to a node, and of which the kubelet has made nothing yet. */
  async createPod(options: PodOptions): Promise<ClusterPod> {
    const pod = this.plan(options);
    await this.put(pod);
    return pod;
  }

  /** What the runtime asks before any process of the pod starts. @param limitSeconds instead of the plugin's own */
  async addNetwork(pod: ClusterPod, limitSeconds?: number): Promise<CniResult> {
    const changes = limitSeconds === undefined ? {} : { limitSeconds };
    return runPlugin('ADD', this.cniFolders(pod.sandbox.plan.node), pod.sandbox, changes);
  }

  async deleteNetwork(pod: ClusterPod): Promise<CniResult> {
    return runPlugin('DEL', this.cniFolders(pod.sandbox.plan.node), pod.sandbox);
  }

  /** Its sandbox runs, and its status says so. */
  async runSandbox(pod: ClusterPod): Promise<void> {
    pod.processes.push(await startContainer(this.rig.run, this.driver, pod.sandbox));
    const { ipv4, ipv6 } = pod.sandbox.plan;
    await this.report(pod, 'Running', pod.options.addresses ?? [ipv4, ipv6]);
  }

  /** A pod that runs, and that no CNI plugin of ours has asked for. */
  async runPod(options: PodOptions): Promise<ClusterPod> {
    const pod = this.plan(options);
    await this.runSandbox(pod);
    return pod;
  }

  /** A pod that came through the plugin. */
  async startPod(options: PodOptions): Promise<ClusterPod> {
    const pod = await this.createPod(options);
    const { ok, message } = await this.addNetwork(pod);
    if (!ok) throw new Error(`no network for ${pod.sandbox.name}: ${message}`);
    await this.runSandbox(pod);
    return pod;
  }

  /** The kubelet makes its sandbox anew, in another place. */
  async moveSandbox(pod: ClusterPod, place: string): Promise<void> {
    await Promise.all(pod.processes.splice(0).map((process) => process.stop('SIGKILL')));
    await this.deleteNetwork(pod);
    pod.sandbox = { ...pod.sandbox, container: newContainerId(), plan: this.rig.pod(place) };
  }

  /** What the kubelet says of it. */
  async report(pod: ClusterPod, phase: string, addresses: readonly string[] = pod.addresses): Promise<void> {
    pod.phase = phase;
    pod.addresses = addresses;
    await this.put(pod);
  }

  async label(pod: ClusterPod, labels: Labels): Promise<void> {
    pod.labels = labels;
    await this.put(pod);
  }

  async labelNamespace(name: string, labels: Labels): Promise<void> {
    await this.write(`namespace-${name}`, [namespaceManifest(name, labels)]);
    this.api.putNamespace(name, labels);
  }

  /** Its processes end, and its network with `DEL` where one is to be told of it; then the API has it no more. */
  async deletePod(pod: ClusterPod, tell = true): Promise<void> {
    await Promise.all(pod.processes.map((process) => process.stop('SIGKILL')));
    if (tell) await this.deleteNetwork(pod);
    this.api.removePod(pod.uid);
    await this.write(`pod-${pod.uid}`, []);
  }

  /** Documents for the control plane; resolves when it has them in force. */
  async write(name: string, manifests: readonly Manifest[]): Promise<void> {
    const { control } = this.rig;
    const before = await control.generation();
    const ports = { [++this.#edits]: 1 };
    const mark = service({ name: `mark-${name}`, namespace: 'of-the-rig', vips: ['None'], ports, selector: {} });
    await this.rig.manifests.write(name, [...manifests, mark]);
    await waitFor(async () => (await control.generation()) > before, { what: `${name} in the control plane` });
  }

  serve(pod: ClusterPod, servers: readonly string[]): Promise<Running> {
    return serve(pod.netns, pod.sandbox.name, servers);
  }

  /** Waits until the annotation says that. */
  async redirected(pod: ClusterPod, value: 'enabled' | 'pending' | null): Promise<void> {
    const what = `redirection ${String(value)} of ${pod.sandbox.name}`;
    const said = (): boolean => this.api.redirection(pod.uid) === value;
    await waitFor(said, { what, timeout: 20_000 });
  }

  /** Waits until a `whoami` server of one pod answers the other. */
  async reaches(from: ClusterPod, to: ClusterPod, port: number): Promise<void> {
    const through = async (): Promise<boolean> => {
      const result = await call(from.netns, to.at(port));
      return result.ok && whoIn(result).server === to.sandbox.name;
    };
    await waitFor(through, { what: `a way from ${from.sandbox.name} to ${to.sandbox.name}`, timeout: 15_000 });
  }

  /** A call that is answered, and the line of the access log that tells how it came to the server; null: no agent saw it. */
  async traced(agent: Agent, from: ClusterPod, to: ClusterPod, port: number): Promise<AccessLine | null> {
    const result = await call(from.netns, to.at(port));
    assert.equal(whoIn(result).server, to.sandbox.name);
    const source = result.local ?? '';
    const of = async (): Promise<AccessLine | undefined> =>
      findLines(await agent.accessLog(), { direction: 'inbound', 'src.addr': source }).at(-1);
    try {
      return await waitFor(of, { timeout: 1500, what: 'a line' });
    } catch {
      return null;
    }
  }

  /** A network of the same addresses, as new as that of the next pod that is given them. */
  async renewPlace(place: string): Promise<void> {
    await this.rig.renewPod(place);
  }

  async remove(): Promise<void> {
    await this.rig.remove();
    await this.api.stop();
  }

  /** The API server has it, as it is now, and so has the control plane. */
  async put(pod: ClusterPod): Promise<void> {
    const document = this.#document(pod);
    await this.write(`pod-${pod.uid}`, [{ apiVersion: 'v1', kind: 'Pod', ...document }]);
    const annotations = this.#annotationsOf(pod);
    this.api.putPod({ ...document, metadata: { ...document.metadata, annotations } });
  }

  /** Many at once. */
  async putAll(pods: readonly ClusterPod[]): Promise<void> {
    const documents = pods.map((pod) => this.#document(pod));
    await this.write(
      'pods',
      documents.map((document) => ({ apiVersion: 'v1', kind: 'Pod', ...document })),
    );
    for (const document of documents) this.api.putPod(document);
  }

  /** What others have written stays. */
  #annotationsOf({ uid, options }: ClusterPod): Labels {
    try {
      return this.api.pod(uid).metadata.annotations;
    } catch {
      return options.annotations ?? {};
    }
  }

  #document({ uid, options, labels, sandbox, phase, addresses }: ClusterPod): ApiPod {
    const { namespace, annotations = {}, spec = {} } = options;
    const [podIP] = addresses;
    const ready = phase === 'Running' ? 'True' : 'False';
    return {
      metadata: { namespace, name: sandbox.name, uid, labels, annotations },
      spec: {
        nodeName: this.rig.node(sandbox.plan.node).name,
        serviceAccountName: sandbox.name,
        containers: [{ name: 'app', image: 'app' }],
        ...spec,
      },
      status: {
        phase,
        ...(podIP === undefined ? {} : { podIP, podIPs: addresses.map((ip) => ({ ip })) }),
        conditions: [{ type: 'Ready', status: ready }],
      },
    };
  }
}

/** How often something happened, as an agent counts it. */
export async function counted(agent: Agent, name: string, labels: Labels = {}): Promise<number> {
  return sum(await agent.metrics(), name, labels);
}

/** Whether the kernel hands the pod's connections to an engine. */
export async function isCaptured({ netns }: ClusterPod): Promise<boolean> {
  return (await tracesIn(netns)).includes('lookup 15001');
}
