import { adminPort, defaultBootstrap, envoyArguments } from '../../envoy/bootstrap.ts';
import type { BootstrapInput } from '../../envoy/bootstrap.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { AgentMetrics } from '../../telemetry/metrics.ts';
import { backOffDelay } from '../../timing/back-off.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import type { ProxyKind } from '../enrolment.ts';
import type { ProxyProgram, RunningProxy } from './envoy-program.ts';
import type { PodAnswer, PodRequest } from './pod-loopback.ts';

export interface ProxyDependencies {
  readonly program: ProxyProgram;
  readonly loopback: { request(pod: string, port: number, request: PodRequest): Promise<PodAnswer> };
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  /** Whom proxies ask for names; none: those of the machine. */
  readonly nameServers: readonly string[];
  /** Of the machine's kernel. */
  readonly hasIpv6: boolean;
  readonly metrics: Pick<AgentMetrics, 'waypointProxyRestarts'>;
  /** `status` says something else now. */
  readonly onChange: () => void;
}

/** The pod whose proxy it is. */
export interface ProxyPod {
  readonly uid: string;
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  readonly kind: ProxyKind;
  readonly netns: string;
  readonly identity: string;
}

/** `starting`: it has not got its configuration yet. `waiting`: it has ended, and is started again after a while. */
export type ProxyState = 'starting' | 'ready' | 'waiting' | 'draining' | 'ended';

export interface ProxyStatus {
  readonly pod: string;
  readonly kind: ProxyKind;
  readonly state: ProxyState;
  readonly pid: number | null;
  readonly restarts: number;
  readonly lastError: string | null;
}

const RESTART = { first: 100, longest: 10_000, jitter: 0.2 };
/** A proxy that ran so long before it ended starts again as if it were the first time. */
const STEADY = 30_000;
const LOOK = { starting: 50, ready: 1_000 };
const ASK = { timeout: 2_000, limit: 64 * 1024 };
/** Seconds that requests have to end in when one of its listeners goes. */
const DRAIN_SECONDS = 5;
/** Milliseconds after SIGTERM. */
const END_LIMIT = 3_000;
/** Whoever reaches a gateway needs no identity, and no pod limits the memory of a process of the agent's. */
const GATEWAY_MEMORY = 1024 ** 3;
const bootstraps: Readonly<Record<ProxyKind, BootstrapInput>> = {
  waypoint: defaultBootstrap,
  gateway: { ...defaultBootstrap, memoryLimit: GATEWAY_MEMORY },
};

/** Keeps one proxy running in the namespace of its pod. */
export class WaypointProxy {
  readonly pod: ProxyPod;
  readonly #dependencies: ProxyDependencies;
  #state: ProxyState = 'starting';
  #running: RunningProxy | null = null;
  #startedAt = 0;
  #failures = 0;
  #restarts = 0;
  #lastError: string | null = null;
  #cancelRestart: () => void = () => undefined;
  #cancelLook: () => void = () => undefined;
  #cancelGrace: () => void = () => undefined;

  constructor(pod: ProxyPod, dependencies: ProxyDependencies) {
    this.pod = pod;
    this.#dependencies = dependencies;
    this.#start();
  }

  get status(): ProxyStatus {
    const { name: pod, kind } = this.pod;
    const pid = this.#running?.pid ?? null;
    return { pod, kind, state: this.#state, pid, restarts: this.#restarts, lastError: this.#lastError };
  }

  /**
   * Its clients are told to go elsewhere when their next answer comes; until `stop` it goes on for those that stay.
   *
   * @returns false where there is nobody to tell
   */
  async drain(): Promise<boolean> {
    if (this.#state === 'ended' || this.#state === 'draining') return false;
    this.#cancelRestart();
    this.#setState('draining');
    if (this.#running === null) return false;
    try {
      await this.#ask('POST', '/healthcheck/fail');
      return true;
    } catch (error) {
      const { logger } = this.#dependencies;
      logger.debug({ ...errorFields(error), pod: this.pod.name }, 'a proxy could not be told to drain');
      return false;
    }
  }

  /** As `drain`, and resolves when its clients had time to go. In a pod that is gone there are none. @param limit milliseconds */
  async leave(limit = DRAIN_SECONDS * 1_000): Promise<void> {
    if (!(await this.drain())) return;
    await new Promise<void>((resolve) => {
      this.#cancelGrace = resolve;
      this.#dependencies.timers.after(Math.min(limit, DRAIN_SECONDS * 1_000), resolve);
    });
  }

  async retire(): Promise<void> {
    await this.leave();
    await this.stop();
  }

  /** Resolves when its process is gone. */
  async stop(): Promise<void> {
    this.#cancelGrace();
    this.#cancelRestart();
    this.#cancelLook();
    this.#setState('ended');
    const running = this.#running;
    if (running === null) return;
    running.kill('SIGTERM');
    const cancel = this.#dependencies.timers.after(END_LIMIT, () => {
      running.kill('SIGKILL');
    });
    await running.ended;
    cancel();
  }

  #start(): void {
    const { program, logger } = this.#dependencies;
    this.#setState('starting');
    this.#startedAt = this.#dependencies.timers.now();
    try {
      const { netns, kind } = this.pod;
      this.#running = program.start({ netns, args: this.#arguments(), lowPorts: kind === 'gateway' });
    } catch (error) {
      this.#failed(errorFields(error).error);
      return;
    }
    logger.info({ pod: this.pod.name, pid: this.#running.pid }, `${this.pod.kind} proxy started`);
    void this.#watch(this.#running);
    this.#lookLater();
  }

  #arguments(): readonly string[] {
    const { name: nodeId, identity: cluster, kind } = this.pod;
    const { nameServers, hasIpv6 } = this.#dependencies;
    const bootstrap = { ...bootstraps[kind], nameServers, hasIpv6 };
    const call = { nodeId, cluster, bootstrap, concurrency: null, drainTime: DRAIN_SECONDS };
    return envoyArguments(call);
  }

  async #watch(running: RunningProxy): Promise<void> {
    const why = await running.ended;
    this.#running = null;
    this.#cancelLook();
    if (this.#state !== 'ended') this.#failed(why);
  }

  #failed(why: string): void {
    const { timers, random, logger, metrics } = this.#dependencies;
    this.#lastError = why;
    if (this.#state === 'draining') {
      this.#setState('ended');
      return;
    }
    this.#failures = timers.now() - this.#startedAt >= STEADY ? 1 : this.#failures + 1;
    this.#restarts++;
    metrics.waypointProxyRestarts.inc();
    const delay = backOffDelay(this.#failures, RESTART, random);
    logger.warn(
      { pod: this.pod.name, error: why, retryInMs: delay },
      `${this.pod.kind} proxy ended; it is started again`,
    );
    this.#setState('waiting');
    this.#cancelRestart = timers.after(delay, () => {
      this.#start();
    });
  }

  #lookLater(): void {
    const pause = this.#state === 'ready' ? LOOK.ready : LOOK.starting;
    this.#cancelLook = this.#dependencies.timers.after(pause, () => void this.#look());
  }

  async #look(): Promise<void> {
    const looked = this.#running;
    const ready = await this.#isReady();
    if (looked !== this.#running || (this.#state !== 'starting' && this.#state !== 'ready')) return;
    if (ready && this.#state === 'starting') {
      const took = this.#dependencies.timers.now() - this.#startedAt;
      this.#dependencies.logger.info({ pod: this.pod.name, tookMs: took }, `${this.pod.kind} proxy is ready`);
    }
    this.#setState(ready ? 'ready' : 'starting');
    this.#lookLater();
  }

  /** It says so when the control plane's listeners and clusters are in force. */
  async #isReady(): Promise<boolean> {
    try {
      return (await this.#ask('GET', '/ready')).status === 200;
    } catch {
      return false;
    }
  }

  #ask(method: 'GET' | 'POST', path: string): Promise<PodAnswer> {
    return this.#dependencies.loopback.request(this.pod.uid, adminPort, { method, path, ...ASK });
  }

  #setState(state: ProxyState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#dependencies.onChange();
  }
}
