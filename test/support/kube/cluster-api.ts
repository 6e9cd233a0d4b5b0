import type { Server } from 'node:net';

import { listenIn } from '../namespace-listener.ts';
import { FakeApiServer } from './fake-api-server.ts';
import type { SeenRequest } from './fake-api-server.ts';

/** Where agents find it, on localhost of each. */
export const apiPort = 8001;

const pods = '/api/v1/pods';
const namespaces = '/api/v1/namespaces';
const nodes = '/api/v1/nodes';
const daemonSets = '/apis/apps/v1/namespaces/istio-system/daemonsets';
const redirection = 'ambient.istio.io/redirection';

export type Labels = Readonly<Record<string, string>>;

/** A pod as the API server holds it. */
export interface ApiPod {
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly labels: Labels;
    readonly annotations: Labels;
  };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status: Readonly<Record<string, unknown>>;
}

/** An Event on a pod. */
export interface PodEvent {
  readonly reason: string;
  readonly note: string;
  readonly type: string;
  readonly regarding: { readonly uid: string };
}

type Answer = ReturnType<FakeApiServer['onWrite']>;

/** The API server of a cluster as agents see it: pods with their status, namespaces, nodes, Events, the agents' own DaemonSet. */
export class ClusterApi {
  readonly server = new FakeApiServer();
  readonly #pods = new Map<string, ApiPod>();
  readonly #objects = new Map<string, unknown>();
  readonly #listeners = new Map<string, Server>();
  #away = false;
  #denying = false;
  /** Connections that were refused while it was away. */
  refused = 0;

  constructor() {
    for (const collection of [pods, namespaces, daemonSets]) this.server.define(collection);
    this.server.onWrite = (request) => this.#write(request);
    this.server.onRead = (path) => this.#objects.get(path) ?? null;
  }

  async start(): Promise<void> {
    await this.server.start();
  }

  async stop(): Promise<void> {
    for (const listener of this.#listeners.values()) listener.close();
    await this.server.stop();
  }

  /** Is to be found on localhost of that network namespace. */
  async serveIn(netns: string): Promise<void> {
    if (this.#listeners.has(netns)) return;
    const listener = await listenIn(netns, apiPort);
    listener.on('connection', (socket) => {
      if (this.#away) {
        this.refused++;
        socket.resetAndDestroy();
      } else this.server.accept(socket);
    });
    this.#listeners.set(netns, listener);
  }

  /** Every connection ends, and every new one, until it is back. */
  setAway(away: boolean): void {
    this.#away = away;
    if (away) this.server.dropConnections();
  }

  /** Whoever asks has no rights any more; what is being watched goes on. */
  deny(): void {
    this.#denying = true;
    this.server.fault('list', ...Array.from({ length: 100 }, () => ({ kind: 'status', status: 403 }) as const));
  }

  pod(uid: string): ApiPod {
    const pod = [...this.#pods.values()].find(({ metadata }) => metadata.uid === uid);
    if (pod === undefined) throw new RangeError(`the API server has no pod ${uid}`);
    return pod;
  }

  putPod(pod: ApiPod): void {
    this.#pods.set(keyOf(pod.metadata), pod);
    this.server.putWhole(pods, { ...pod });
  }

  removePod(uid: string): void {
    const key = keyOf(this.pod(uid).metadata);
    this.#pods.delete(key);
    this.server.remove(pods, key);
  }

  putNamespace(name: string, labels: Labels): void {
    this.server.putWhole(namespaces, { metadata: { name, labels } });
  }

  putNode(name: string, labels: Labels): void {
    this.#objects.set(`${nodes}/${name}`, { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } });
  }

  /** That of the agents, by the specification of its pods; null: it is gone. */
  putDaemonSet(spec: object | null): void {
    const [namespace, name] = ['istio-system', 'ztunnel'];
    if (spec === null) {
      this.#objects.delete(`${daemonSets}/${name}`);
      this.server.remove(daemonSets, `${namespace}/${name}`);
      return;
    }
    const object = { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { namespace, name } };
    const whole = { ...object, spec: { template: { spec } } };
    this.#objects.set(`${daemonSets}/${name}`, whole);
    this.server.putWhole(daemonSets, whole);
  }

  /** What the pod's annotation says; null: there is none. */
  redirection(uid: string): string | null {
    return this.pod(uid).metadata.annotations[redirection] ?? null;
  }

  events(uid: string): readonly PodEvent[] {
    return this.server.requests
      .filter(({ method, path }) => method === 'POST' && path.endsWith('/events'))
      .map(({ body }) => body as PodEvent)
      .filter(({ regarding }) => regarding.uid === uid);
  }

  #write(request: SeenRequest): Answer {
    if (this.#denying) return refusal(403, 'Forbidden');
    const [, namespace, name] = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/status$/.exec(request.path) ?? [];
    if (request.method !== 'PATCH' || namespace === undefined || name === undefined) return { status: 200, body: {} };
    const pod = this.#pods.get(`${namespace}/${name}`);
    if (pod === undefined) return refusal(404, 'NotFound');
    const { metadata } = request.body as PodPatch;
    if (metadata.uid !== undefined && metadata.uid !== pod.metadata.uid) return refusal(409, 'Conflict');
    const merged = { ...pod.metadata.annotations, ...metadata.annotations };
    const annotations = Object.fromEntries(
      Object.entries(merged).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
    );
    this.putPod({ ...pod, metadata: { ...pod.metadata, annotations } });
    return { status: 200, body: {} };
  }
}

interface PodPatch {
  readonly metadata: { readonly uid?: string; readonly annotations?: Readonly<Record<string, string | null>> };
}

function keyOf({ namespace, name }: ApiPod['metadata']): string {
  return `${namespace}/${name}`;
}

function refusal(status: number, reason: string): Answer {
  return { status, body: { kind: 'Status', code: status, reason, message: reason } };
}
