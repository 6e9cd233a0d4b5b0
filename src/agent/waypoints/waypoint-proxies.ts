import type { AgentMetrics } from '../../telemetry/metrics.ts';
import { WaypointProxy } from './waypoint-proxy.ts';
import type { ProxyDependencies, ProxyPod, ProxyState, ProxyStatus } from './waypoint-proxy.ts';

export interface ProxiesDependencies extends Omit<ProxyDependencies, 'onChange' | 'metrics'> {
  readonly metrics: Pick<AgentMetrics, 'waypointProxies' | 'waypointProxyRestarts'>;
}

const states: readonly ProxyState[] = ['starting', 'ready', 'waiting', 'draining'];

/** The proxies of this node's waypoints and gateways, where nobody else runs them: one for each such pod that the engine serves. */
export class WaypointProxies {
  readonly #dependencies: ProxiesDependencies;
  readonly #proxies = new Map<string, WaypointProxy>();
  readonly #retiring = new Set<WaypointProxy>();
  #stopping = false;

  constructor(dependencies: ProxiesDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param pods all that are to have a proxy */
  reconcile(pods: readonly ProxyPod[]): void {
    if (this.#stopping) return;
    const wanted = new Map(pods.map((pod) => [keyOf(pod), pod]));
    for (const [key, proxy] of this.#proxies) if (!wanted.has(key)) void this.#retire(key, proxy);
    for (const [key, pod] of wanted) if (!this.#proxies.has(key)) this.#start(key, pod);
    this.#report();
  }

  /** The engine is about to let go of the pod; until then its proxy can be told. */
  leave(uid: string): void {
    for (const [key, proxy] of this.#proxies) if (proxy.pod.uid === uid) void this.#retire(key, proxy);
  }

  status(): readonly ProxyStatus[] {
    return [...this.#proxies.values(), ...this.#retiring].map(({ status }) => status);
  }

  /**
   * No proxy is started any more, and those that run tell their clients to go elsewhere. Those of gateways have time for it: they
   * come past the engine, which could tell them nothing, and what they ask for goes out through it. @param limit milliseconds
   */
  async drain(limit: number): Promise<void> {
    this.#stopping = true;
    const all = [...this.#proxies.values()];
    await Promise.all(all.map((proxy) => (proxy.pod.kind === 'gateway' ? proxy.leave(limit) : proxy.drain())));
  }

  /** Resolves when all processes are gone. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#proxies.values(), ...this.#retiring].map((proxy) => proxy.stop()));
    this.#report();
  }

  #start(key: string, pod: ProxyPod): void {
    // What a proxy says while it is made finds it in no list yet, and is told below.
    const onChange = (): void => {
      this.#report();
    };
    this.#proxies.set(key, new WaypointProxy(pod, { ...this.#dependencies, onChange }));
  }

  async #retire(key: string, proxy: WaypointProxy): Promise<void> {
    this.#proxies.delete(key);
    this.#retiring.add(proxy);
    await proxy.retire();
    this.#retiring.delete(proxy);
    this.#report();
  }

  #report(): void {
    const all = this.status();
    const { waypointProxies } = this.#dependencies.metrics;
    for (const state of states) waypointProxies.set({ state }, all.filter((proxy) => proxy.state === state).length);
  }
}

/** A pod that came back elsewhere, or as another kind with other rights, has another proxy. */
function keyOf({ uid, netns, kind }: ProxyPod): string {
  return `${uid} ${kind} ${netns}`;
}
