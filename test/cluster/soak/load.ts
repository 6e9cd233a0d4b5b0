import type { Cluster } from '../harness/cluster.ts';
import { TestNamespace } from '../harness/namespace.ts';
import type { KubernetesObject } from '../harness/objects.ts';
import { clientPod, podSpec, serverPod, service } from '../harness/workloads.ts';

const ports = { echo: 8080, sink: 8081 } as const;
/** Milliseconds of one run of a client before it is asked for its result. */
const turn = 20_000;

interface Result {
  readonly failures: Readonly<Record<string, number>> | readonly string[];
}

/** Connections, streams, and pods that come and go, in a namespace of the mesh. */
export class Load {
  readonly #namespace: TestNamespace;
  failures = 0;
  turns = 0;
  /** Turns of which nothing was heard: the way of `kubectl exec` through API server and kubelet is not the mesh's. */
  unheard = 0;

  private constructor(namespace: TestNamespace) {
    this.#namespace = namespace;
  }

  static async start(cluster: Cluster): Promise<Load> {
    const namespace = await TestNamespace.create(cluster, 'soak', { 'istio.io/dataplane-mode': 'ambient' });
    const servers = [`echo@[::]:${ports.echo}`, `sink@[::]:${ports.sink}`];
    await namespace.apply(service('server', 'server-1', [ports.echo, ports.sink]), guests());
    await namespace.start(
      serverPod('server-1', servers, { node: 1 }),
      clientPod('client-1', { node: 1 }),
      clientPod('client-2', { node: 2 }),
    );
    return new Load(namespace);
  }

  /** Runs until the signal, turn by turn. */
  async run(signal: AbortSignal): Promise<void> {
    const { clusterIP } = (await this.#namespace.get<{ spec: { clusterIP: string } }>(['service', 'server'])).spec;
    const clients = ['client-1', 'client-2'].flatMap((client) => [
      ['storm', client, `${clusterIP}:${ports.echo}`, '--clients', '4'],
      ['stream', client, `${clusterIP}:${ports.sink}`, '--streams', '2'],
    ]);
    const loops = clients.map(([command = '', client = '', ...rest]) =>
      this.#repeat(signal, () => this.#client(client, [command, ...rest, '--duration', String(turn)])),
    );
    await Promise.all([...loops, this.#repeat(signal, () => this.#replaceGuests())]);
  }

  remove(): Promise<void> {
    return this.#namespace.remove();
  }

  async #repeat(signal: AbortSignal, once: () => Promise<void>): Promise<void> {
    while (!signal.aborted) await once();
  }

  async #client(pod: string, words: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await this.#namespace.exec(pod, ['ambit-testkit', ...words], {
      anyStatus: true,
      timeout: 90_000,
    });
    this.turns += 1;
    if (stdout === '') {
      this.unheard += 1;
      console.log(`${pod}: ${words.join(' ')}: no result, status ${code ?? 'none'}: ${stderr.trim()}`);
      return;
    }
    const { failures } = JSON.parse(stdout) as Result; // the shape is the binary's, which is built from the same checkout
    this.failures += Object.values(failures).length;
    if (Object.values(failures).length > 0) console.log(`${pod}: ${words.join(' ')}: ${JSON.stringify(failures)}`);
  }

  async #replaceGuests(): Promise<void> {
    await this.#namespace.kubectl(['rollout', 'restart', 'deployment', 'guests']);
    await this.#namespace.kubectl(['rollout', 'status', 'deployment', 'guests', '--timeout', '2m'], {
      timeout: 150_000,
    });
  }
}

function guests(): KubernetesObject {
  const labels = { app: 'guests' };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'guests' },
    spec: {
      replicas: 10,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: podSpec({ command: ['/bin/sleep', '86400'] }, {}) },
    },
  };
}
