import type { ExecOptions, Finished } from '../../support/processes.ts';
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

  async pods(selector: string): Promise<readonly Pod[]> {
    return (await this.get<List<Pod>>(['pods', '--selector', selector])).items;
  }

  /** A command in a pod's first container. */
  exec(pod: string, command: readonly string[], options: ExecOptions = {}): Promise<Finished> {
    return this.cluster.tryKubectl(['--namespace', this.name, 'exec', '--stdin', pod, '--', ...command], options);
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

  /** Asks the cluster to delete everything; does not wait for it. */
  async remove(): Promise<void> {
    await this.cluster.kubectl(['delete', 'namespace', this.name, '--wait=false', '--ignore-not-found']);
  }
}

/** For the message of a test that waited in vain. */
function whyNotReady({ status }: Pod): string {
  const waiting = status.containerStatuses?.flatMap(({ state }) => state?.waiting ?? []) ?? [];
  const reasons = waiting.map(({ reason = '', message = '' }) => `${reason} ${message}`.trim());
  return [status.phase ?? 'not seen by its node yet', ...reasons].join(': ');
}
