import { start } from '../../support/processes.ts';
import type { ExecOptions, Finished, Running } from '../../support/processes.ts';
import { whoIn } from '../../support/testkit.ts';
import type { CallResult, WhoAnswer } from '../../support/testkit.ts';
import type { Cluster } from './cluster.ts';
import { uniqueName } from './cluster.ts';
import { holds } from './objects.ts';
import type { KubernetesObject, List, Pod } from './objects.ts';

/** A Kubernetes namespace of one test file, with what the file does in it. */
export class TestNamespace {
  readonly name: string;
  readonly cluster: Cluster;

  private constructor(cluster: Cluster, name: string) {
    this.cluster = cluster;
    this.name = name;
  }

  /** The API server adds the default service account a moment later; pods before that are refused. */
  static async create(
    cluster: Cluster,
    prefix: string,
    labels: Readonly<Record<string, string>> = {},
  ): Promise<TestNamespace> {
    const namespace = new TestNamespace(cluster, uniqueName(prefix));
    await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace.name, labels } });
    await cluster.until(`the default service account of ${namespace.name}`, () =>
      namespace.kubectl(['get', 'serviceaccount', 'default']),
    );
    return namespace;
  }

  kubectl(args: readonly string[], options: ExecOptions = {}): Promise<string> {
    return this.cluster.kubectl(['--namespace', this.name, ...args], options);
  }

  get<T>(args: readonly string[]): Promise<T> {
    return this.cluster.get<T>(['--namespace', this.name, ...args]);
  }

  /** Objects that name no namespace come into this one. */
  async apply(...objects: readonly KubernetesObject[]): Promise<void> {
    const placed = objects.map((object) => ({ ...object, metadata: { namespace: this.name, ...object.metadata } }));
    await this.cluster.apply(...placed);
  }

  /** Makes pods and waits until all are ready; they come in the order of their objects. */
  async start(...pods: readonly KubernetesObject[]): Promise<Pod[]> {
    await this.apply(...pods);
    return Promise.all(pods.map((pod) => this.ready(pod.metadata.name ?? '')));
  }

  /** Waits until a pod is ready. */
  async ready(name: string): Promise<Pod> {
    return this.cluster.until(`the readiness of pod ${this.name}/${name}`, async () => {
      const pod = await this.get<Pod>(['pod', name]);
      if (!holds(pod.status.conditions, 'Ready')) throw new Error(whyNotReady(pod));
      return pod;
    });
  }

  /** Gives a Deployment another number of pods. */
  async scale(name: string, replicas: number): Promise<void> {
    await this.kubectl(['scale', 'deployment', name, `--replicas=${replicas}`]);
  }

  /** Waits until so many pods of a Deployment are ready, and no others are left. */
  async untilScaled(name: string, replicas: number, timeout = 300_000): Promise<readonly Pod[]> {
    return this.cluster.until(
      `${replicas} pods of ${this.name}/${name}`,
      async () => {
        const pods = await this.pods(`app=${name}`);
        const ready = pods.filter(({ status }) => holds(status.conditions, 'Ready')).length;
        if (pods.length !== replicas || ready !== replicas) throw new Error(`${pods.length} pods, ${ready} ready`);
        return pods;
      },
      { timeout, interval: 500 },
    );
  }

  async pods(selector: string): Promise<readonly Pod[]> {
    return (await this.get<List<Pod>>(['pods', '--selector', selector])).items;
  }

  /** A command in a pod's first container. */
  exec(pod: string, command: readonly string[], options: ExecOptions = {}): Promise<Finished> {
    return this.cluster.tryKubectl(['--namespace', this.name, 'exec', '--stdin', pod, '--', ...command], options);
  }

  /** A command in a pod's first container that goes on; it has this end's standard input. */
  background(pod: string, command: readonly string[]): Running {
    return start(this.cluster.command(['--namespace', this.name, 'exec', '--stdin', pod, '--', ...command]));
  }

  /** Connections of the test kit that stay open, and are told by lines of input what to do; resolves when all are. */
  async hold(pod: string, addresses: readonly string[]): Promise<Running> {
    const running = this.background(pod, ['ambit-testkit', 'hold', ...addresses, '--exchange', '8']);
    await running.line((line) => line.includes('"ready"'), 30_000);
    return running;
  }

  /** One request of the test kit from a pod; what an application could notice about it. */
  async call(pod: string, address: string, options: readonly string[] = []): Promise<CallResult> {
    const { stdout, stderr } = await this.exec(pod, ['ambit-testkit', 'call', address, ...options], {
      anyStatus: true,
    });
    if (stdout === '') throw new Error(`calling ${address} from ${pod}: ${stderr}`);
    return JSON.parse(stdout) as CallResult; // the shape is the binary's, which is built from the same checkout
  }

  /** Asks a `whoami` server who it is and whom it sees. */
  async whoami(pod: string, address: string): Promise<WhoAnswer> {
    return whoIn(await this.call(pod, address));
  }

  /** What `redirection` says of each pod, by their names; null: nothing. */
  async redirections(): Promise<Readonly<Record<string, string | null>>> {
    const { items } = await this.get<List<Pod>>(['pods']);
    return Object.fromEntries(items.map((pod) => [pod.metadata.name, redirectionOf(pod)]));
  }

  /** Waits until these pods say that they are in the mesh, or that they are not. */
  async untilRedirected(pods: readonly string[], wanted: 'enabled' | 'pending' | null): Promise<void> {
    await this.cluster.until(`${pods.join(', ')} in ${this.name} to be ${wanted ?? 'outside the mesh'}`, async () => {
      const found = await this.redirections();
      return pods.every((pod) => found[pod] === wanted);
    });
  }

  /** The first address of a Service. */
  async serviceAddress(name: string): Promise<string> {
    return (await this.get<{ readonly spec: { readonly clusterIP: string } }>(['service', name])).spec.clusterIP;
  }

  /** Sets a label, or takes it away. */
  async label(key: string, value: string | null): Promise<void> {
    await this.cluster.kubectl(['label', '--overwrite', 'namespace', this.name, labelText(key, value)]);
  }

  /** Asks the cluster to delete everything; does not wait for it. */
  async remove(): Promise<void> {
    await this.cluster.kubectl(['delete', 'namespace', this.name, '--wait=false', '--ignore-not-found']);
  }
}

export function redirectionOf({ metadata }: Pod): string | null {
  return metadata.annotations?.['ambient.istio.io/redirection'] ?? null;
}

/** As `kubectl label` wants it. */
export function labelText(key: string, value: string | null): string {
  return value === null ? `${key}-` : `${key}=${value}`;
}

/** For the message of a test that waited in vain. */
function whyNotReady({ status }: Pod): string {
  const waiting = status.containerStatuses?.flatMap(({ state }) => state?.waiting ?? []) ?? [];
  const reasons = waiting.map(({ reason = '', message = '' }) => `${reason} ${message}`.trim());
  return [status.phase ?? 'not seen by its node yet', ...reasons].join(': ');
}
