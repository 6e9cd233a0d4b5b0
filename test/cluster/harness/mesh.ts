import { ambitBinary } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';
import type { ExecOptions, Finished } from '../../support/processes.ts';
import type { Cluster } from './cluster.ts';
import { recordState } from './node-state.ts';
import { holds } from './objects.ts';
import type { List, Pod } from './objects.ts';

const namespace = 'istio-system';
const agentName = 'ztunnel';
const controlName = 'istiod';

/** Ambit as users install it: by `ambit install`, from the image that `make image` packs. */
export class InstalledMesh {
  readonly cluster: Cluster;
  readonly #values: readonly string[];

  private constructor(cluster: Cluster, values: readonly string[]) {
    this.cluster = cluster;
    this.#values = values;
  }

  /** Installs the mesh, or finds that it is as it should be. @param extra values beyond those of the test cluster */
  static async ensure(cluster: Cluster, ...extra: readonly string[]): Promise<InstalledMesh> {
    const mesh = new InstalledMesh(cluster, [
      'image.repository=ambit.local/ambit',
      'image.tag=dev',
      'image.pullPolicy=Never',
      `node.cgroupDir=${await cgroupFolder(cluster)}`,
      'waypoint.image=ambit.local/envoy:test',
      'waypoint.pullPolicy=Never',
      'waypoint.drainSeconds=5',
      ...extra,
    ]);
    if (!(await mesh.isInstalled())) await recordState(cluster);
    await mesh.install();
    return mesh;
  }

  async isInstalled(): Promise<boolean> {
    return (await this.kubectl(['get', 'daemonset', agentName, '--ignore-not-found', '--output', 'name'])) !== '';
  }

  /** As `ensure`, once more: with other values, or when something may have been changed. */
  async install(...extra: readonly string[]): Promise<string> {
    const values = [...this.#values, ...extra].flatMap((value) => ['--set', value]);
    return (await this.ambit(['install', ...values, '--force', '--wait', '2m'])).stdout;
  }

  uninstall(): Promise<Finished> {
    return this.ambit(['uninstall', '--purge', '--yes']);
  }

  ambit(words: readonly string[], options: ExecOptions = {}): Promise<Finished> {
    return exec([ambitBinary, ...words, '--kubeconfig', this.cluster.kubeconfig], { timeout: 180_000, ...options });
  }

  kubectl(args: readonly string[], options: ExecOptions = {}): Promise<string> {
    return this.cluster.kubectl(['--namespace', namespace, ...args], options);
  }

  agents(): Promise<readonly Pod[]> {
    return this.#podsOf(agentName);
  }

  /** The agent of a node, of two that overlap the ready one. @throws Error when there is none */
  async agentOn(node: number): Promise<Pod> {
    const agents = (await this.agents()).filter(
      ({ metadata, spec }) => spec.nodeName === `node-${node}` && metadata.deletionTimestamp === undefined,
    );
    const agent = agents.find(({ status }) => holds(status.conditions, 'Ready')) ?? agents[0];
    if (agent === undefined) throw new Error(`node-${node} has no agent`);
    return agent;
  }

  /** Waits until the agent of a node serves. */
  async untilReady(node: number): Promise<void> {
    await this.cluster.until(`the agent of node-${node}`, async () =>
      holds((await this.agentOn(node)).status.conditions, 'Ready'),
    );
  }

  /** Sends a signal to the agents of a node, so that they are silent (SIGSTOP), or gone as in a crash. */
  async signalAgents(node: number, signal: 'STOP' | 'CONT' | 'KILL'): Promise<void> {
    await this.cluster.node(node, ['pkill', `-${signal}`, '--full', 'dist/src/cli/main[.]js agent$']);
  }

  /** As an upgrade does: each agent is replaced by a new one, which takes over from it. */
  async restartAgents(): Promise<void> {
    await this.kubectl(['rollout', 'restart', `daemonset/${agentName}`]);
    await this.untilAgentsServe();
    await this.cluster.until('the end of the old agents', async () => (await this.agents()).length === 2);
  }

  /** Waits until a new agent serves on every node; the former ones may still be at their end. */
  async untilAgentsServe(): Promise<void> {
    await this.kubectl(['rollout', 'status', `daemonset/${agentName}`, '--timeout=180s'], { timeout: 190_000 });
  }

  /** Resolves when so many replicas of the control plane are there, and no more. */
  async scaleControl(replicas: number): Promise<void> {
    await this.kubectl(['scale', 'deployment', controlName, `--replicas=${replicas}`]);
    await this.cluster.until(`${replicas} replicas of the control plane`, async () => {
      const items = await this.#podsOf(controlName);
      return items.length === replicas && items.every(({ status }) => holds(status.conditions, 'Ready'));
    });
  }

  /** A replica of the control plane that serves. @throws Error when there is none */
  async controlPod(): Promise<Pod> {
    const items = await this.#podsOf(controlName);
    const pod = items.find(
      ({ metadata, status }) => metadata.deletionTimestamp === undefined && holds(status.conditions, 'Ready'),
    );
    if (pod === undefined) throw new Error('no replica of the control plane is ready');
    return pod;
  }

  /** Access-log lines and messages of a node's agent that hold a text. */
  async logged(node: number, text: string): Promise<readonly string[]> {
    const { metadata } = await this.agentOn(node);
    const lines = (await this.kubectl(['logs', metadata.name])).split('\n');
    return lines.filter((line) => line.includes(text));
  }

  /** Access-log lines of all agents, of connections of a namespace that failed. */
  async failuresIn(name: string): Promise<readonly string[]> {
    const lines = await Promise.all([1, 2].map((node) => this.logged(node, `namespace="${name}"`)));
    return lines.flat().filter((line) => line.includes(' error='));
  }

  /** The node agent's Prometheus page, as the node sees it. */
  async metrics(node: number): Promise<string> {
    return this.page(node, 15020, '/metrics');
  }

  /** The Prometheus page of one replica of the control plane, as its node sees it. */
  async controlMetrics(): Promise<string> {
    const control = await this.controlPod();
    return this.#fetch(nodeOf(control), control, 15014, '/metrics');
  }

  /** A page of a node's agent, asked from the node. */
  async page(node: number, port: number, path: string): Promise<string> {
    return this.#fetch(node, await this.agentOn(node), port, path);
  }

  async #podsOf(app: string): Promise<readonly Pod[]> {
    return (await this.cluster.get<List<Pod>>(['pods', '--namespace', namespace, '--selector', `app=${app}`])).items;
  }

  async #fetch(node: number, { status }: Pod, port: number, path: string): Promise<string> {
    const url = `http://${status.podIP ?? ''}:${port}${path}`;
    // A server that is starved of CPU answers 408: as with Prometheus, the next scrape counts.
    const options = ['--silent', '--fail', '--max-time', '10', '--retry', '3', '--retry-all-errors'];
    return (await this.cluster.node(node, ['curl', ...options, url])).stdout;
  }
}

function nodeOf({ spec }: Pod): number {
  return Number((spec.nodeName ?? '').replace('node-', ''));
}

/** Where a node has its cgroup2 tree: machines with both versions have it apart. */
async function cgroupFolder(cluster: Cluster): Promise<string> {
  const { stdout } = await cluster.node(1, ['stat', '--file-system', '--format=%T', '/sys/fs/cgroup']);
  return stdout.trim() === 'cgroup2fs' ? '/sys/fs/cgroup' : '/sys/fs/cgroup/unified';
}
