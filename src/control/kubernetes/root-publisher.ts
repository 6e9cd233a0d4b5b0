import type { WatchingClient } from '../../kube/kube-client.ts';
import { isNotFound } from '../../kube/kube-error.ts';
import { Reflector } from '../../kube/reflector.ts';
import type { ReflectorObserver } from '../../kube/reflector.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import { serverSideApply } from '../../kube/server-side-apply.ts';
import type { Random, Timers } from '../../timing/timers.ts';

export interface RootPublisherDependencies {
  readonly client: WatchingClient;
  /** PEM. */
  readonly roots: string;
  readonly timers: Timers;
  readonly random: Random;
  readonly observe: (kind: string) => ReflectorObserver;
  readonly onFailure: (namespace: string, error: unknown, failures: number) => void;
}

/** The name under which pods of the Istio world mount the mesh's roots. */
export const rootConfigMap = 'istio-ca-root-cert';
const key = 'root-cert.pem';
/** Nothing there mounts it, and a write would only be noise. */
const leftOut = new Set(['kube-public', 'kube-node-lease', 'local-path-storage']);
const CONCURRENCY = 4;
const MANAGER = 'ambit-control';

interface Published {
  readonly namespace: string;
  readonly roots: string;
}

/** Writes the mesh's roots into every namespace, and again where somebody changes or removes them. For the leader only. */
export class RootPublisher {
  readonly #dependencies: RootPublisherDependencies;

  constructor(dependencies: RootPublisherDependencies) {
    this.#dependencies = dependencies;
  }

  /** Resolves after the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { client, timers, random, observe, onFailure } = this.#dependencies;
    const namespaces = new Reflector<string>({
      client,
      path: '/api/v1/namespaces',
      metadataOnly: true,
      read: ({ metadata }) => (leftOut.has(metadata.name) ? null : metadata.name),
      timers,
      random,
      observer: observe('namespaces'),
    });
    const published = new Reflector<Published>({
      client,
      path: '/api/v1/configmaps',
      selectors: { fieldSelector: `metadata.name=${rootConfigMap}` },
      read: (object) => ({ namespace: object.metadata.namespace ?? '', roots: rootsOf(object) }),
      timers,
      random,
      observer: observe('configmaps'),
    });
    const queue = new WorkQueue({
      work: async (namespace) => {
        const current = published.get(`${namespace}/${rootConfigMap}`)?.roots;
        if (namespaces.get(namespace) !== null && current !== this.#dependencies.roots) await this.#publish(namespace);
      },
      concurrency: CONCURRENCY,
      timers,
      random,
      onFailure,
    });
    const running = [namespaces.run(signal), published.run(signal)];
    const synced = Promise.all([namespaces.synced, published.synced]);
    // Only once both are known: else each start would write once into every namespace.
    void synced.then(() => {
      namespaces.listen((changes) => {
        for (const { after } of changes) if (after !== null) queue.add(after);
      });
      published.listen((changes) => {
        for (const { before, after } of changes) queue.add((after ?? before)?.namespace ?? '');
      });
    });
    await Promise.all(running);
    await queue.stop();
  }

  async #publish(namespace: string): Promise<void> {
    const { client, roots } = this.#dependencies;
    const metadata = { name: rootConfigMap, namespace, labels: { 'istio.io/config': 'true' } };
    try {
      const path = `/api/v1/namespaces/${namespace}/configmaps/${rootConfigMap}`;
      const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { [key]: roots } };
      await client.send(serverSideApply(path, body, { fieldManager: MANAGER, force: true }));
    } catch (error) {
      // The namespace has gone meanwhile.
      if (!isNotFound(error)) throw error;
    }
  }
}

function rootsOf(object: object): string {
  const data: unknown = 'data' in object ? object.data : null;
  if (typeof data !== 'object' || data === null || !(key in data)) return '';
  const value: unknown = (data as Readonly<Record<string, unknown>>)[key];
  return typeof value === 'string' ? value : '';
}
