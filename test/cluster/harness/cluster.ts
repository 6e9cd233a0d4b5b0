import { randomBytes } from 'node:crypto';
import process from 'node:process';

import { root } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';
import type { ExecOptions, Finished } from '../../support/processes.ts';
import { waitFor } from '../../support/wait.ts';
import type { WaitOptions } from '../../support/wait.ts';
import type { KubernetesObject } from './objects.ts';

const script = `${root}test/cluster/cluster.sh`;

/** `AMBIT_CLUSTER_PATIENCE=3` waits three times as long: for a machine that does much else. */
const patience = Number(process.env['AMBIT_CLUSTER_PATIENCE'] ?? '1');

/** Milliseconds that a step of a test on the cluster may take unless it says otherwise: images start, rules settle. */
const clusterTimeout = 60_000 * patience;

export type Daemon =
  'containerd' | 'kubelet' | 'kube-proxy' | 'etcd' | 'apiserver' | 'controller-manager' | 'scheduler';

/** The running test cluster, as its administrator and as whoever stands in front of its machines. */
export class Cluster {
  readonly kubeconfig: string;
  readonly #kubectl: string;

  private constructor(kubectl: string, kubeconfig: string) {
    this.#kubectl = kubectl;
    this.kubeconfig = kubeconfig;
  }

  /** @throws Error when no cluster is up. */
  static async attach(): Promise<Cluster> {
    const [kubectl, kubeconfig] = await Promise.all([pathOf('kubectl'), pathOf('kubeconfig')]);
    return new Cluster(kubectl, kubeconfig);
  }

  /** kubectl's output. @throws Error with what it wrote when it fails. */
  async kubectl(args: readonly string[], options: ExecOptions = {}): Promise<string> {
    return (await this.tryKubectl(args, options)).stdout;
  }

  /** As `kubectl`; with `anyStatus` a failure is a result like others. */
  tryKubectl(args: readonly string[], options: ExecOptions = {}): Promise<Finished> {
    return exec(this.command(args), { timeout: clusterTimeout, ...options });
  }

  /** What runs kubectl with these arguments, for what goes on for a while. */
  command(args: readonly string[]): readonly string[] {
    return [this.#kubectl, '--kubeconfig', this.kubeconfig, ...args];
  }

  /** An object as the API server has it; its shape is the caller's word. */
  async get<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl(['get', ...args, '--output', 'json'])) as T;
  }

  /** Creates or changes; objects of one call come in their order. */
  async apply(...objects: readonly KubernetesObject[]): Promise<void> {
    await this.kubectl(['apply', '--filename', '-'], { input: listOf(objects) });
  }

  /** Creates, and gives what the API server made of it: for reviews and other objects that are answers. */
  async create<T>(object: KubernetesObject): Promise<T> {
    const text = await this.kubectl(['create', '--filename', '-', '--output', 'json'], {
      input: JSON.stringify(object),
    });
    return JSON.parse(text) as T;
  }

  /** A command as root on a node, in all of the node's namespaces. */
  node(n: number, command: readonly string[], options: ExecOptions = {}): Promise<Finished> {
    return run(['node', String(n), ...command], options);
  }

  /** What runs a command on a node, for what goes on for a while. */
  nodeCommand(n: number, command: readonly string[]): readonly string[] {
    return [script, 'node', String(n), ...command];
  }

  /** A command on a machine that shares the nodes' network and is not in the cluster. */
  outside(command: readonly string[], options: ExecOptions = {}): Promise<Finished> {
    return run(['outside', ...command], options);
  }

  async stopDaemon(n: number, daemon: Daemon): Promise<void> {
    await run(['stop', String(n), daemon]);
  }

  async startDaemon(n: number, daemon: Daemon): Promise<void> {
    await run(['start', String(n), daemon]);
  }

  /** Cuts the power of a node other than the first, and starts it again. Resolves before its pods are back. */
  async reboot(n: number): Promise<void> {
    await run(['reboot', String(n)]);
  }

  /** A folder that the machine and the nodes see alike, for sockets between them; gone with the cluster. */
  stateFolder(): Promise<string> {
    return pathOf('state');
  }

  /** Gives an image archive to every node. */
  async import(archive: string): Promise<void> {
    await run(['import', archive]);
  }

  /** As `waitFor`, with the patience that a cluster needs. */
  until<T>(what: string, condition: () => T | Promise<T>, options: WaitOptions = {}): ReturnType<typeof waitFor<T>> {
    return waitFor(condition, { timeout: clusterTimeout, interval: 200, what, ...options });
  }
}

/** A name that no other run has, for namespaces and cluster-wide objects. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(3).toString('hex')}`;
}

/** Helm's output, of the project's own build. */
export async function helm(args: readonly string[]): Promise<string> {
  return (await exec([await pathOf('helm'), ...args], { timeout: clusterTimeout })).stdout;
}

function run(args: readonly string[], options: ExecOptions = {}): Promise<Finished> {
  return exec([script, ...args], { timeout: clusterTimeout, ...options });
}

/** Helm may have to be built first. */
async function pathOf(what: 'kubectl' | 'kubeconfig' | 'helm' | 'state'): Promise<string> {
  return (await exec([script, 'path', what], { timeout: 900_000 })).stdout.trim();
}

function listOf(objects: readonly KubernetesObject[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
}
