import { isDeepStrictEqual } from 'node:util';
import { errorCode } from '../config/errors.ts';
import type { LocalPod } from '../model/workload.ts';
import type { AdoptedPod, NativeEngine, PodSpec } from '../native/binding.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { backOffDelay } from '../timing/back-off.ts';
import { ConcurrencyLimit } from '../timing/concurrency-limit.ts';
import type { Random, Timers } from '../timing/timers.ts';
import { goalOf, goalWithoutPod } from './pod-goals.ts';
import type { Actual, Goal } from './pod-goals.ts';

export interface EnrolmentDependencies {
  readonly engine: Pick<NativeEngine, 'enrol' | 'unenrol' | 'forget'>;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Pick<
    AgentMetrics,
    'podsEnrolled' | 'podsPending' | 'podsStarted' | 'podsStopped' | 'enrolmentFailures'
  >;
  /** See `goalOf`. */
  readonly placedLater: boolean;
  readonly dnsCapture: boolean;
  /** Awaited before a pod is taken in; what it waits for must end by itself. */
  readonly prepare: (spec: PodSpec) => Promise<void>;
  /** `identities` may say something else now. */
  readonly onChange: () => void;
  /** The engine has confirmed that it serves the pod, or is about to let go of it. */
  readonly onEnrolled: (uid: string, enrolled: boolean) => void;
}

/** A pod as readiness and the admin page see it. */
export interface PodStatus {
  readonly uid: string;
  readonly name: string;
  readonly wanted: boolean;
  /** It is not known yet where its network namespace is. */
  readonly awaited: boolean;
  readonly enrolled: boolean;
  /** The kernel hands its connections to an engine; where it is not enrolled, they are refused. */
  readonly captured: boolean;
  /** Attempts to enrol that failed since it was last served. */
  readonly failures: number;
  readonly lastError: string | null;
}

/** `waypoint`: the engine hands it what comes for others; `gateway`: clients connect to ports of its own, past the engine. */
export type ProxyKind = 'waypoint' | 'gateway';

/** A pod whose proxy the control plane configures. */
export interface ServedProxy {
  readonly uid: string;
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  readonly kind: ProxyKind;
  /** Path of its network namespace. */
  readonly netns: string;
  readonly identity: string;
}

interface Entry {
  readonly uid: string;
  name: string;
  /** A manifest has named it since this agent runs; else a former agent did. */
  listed: boolean;
  goal: Goal;
  actual: Actual;
  failures: number;
  lastError: string | null;
  busy: boolean;
  cancelRetry: (() => void) | null;
}

const RETRY = { first: 100, longest: 15_000, jitter: 0.2 };
/** Kernel work of the engine's own threads: more at once would only wait there. */
const OPERATIONS_AT_ONCE = 8;

/**
 * Brings what the engine serves to what the manifests want: pod by pod, one operation of a pod at a time, each failure
 * tried again later for itself. The newest goal counts; one that changed under way is pursued when the operation ends.
 */
export class Enrolment {
  readonly #dependencies: EnrolmentDependencies;
  readonly #entries = new Map<string, Entry>();
  readonly #limit = new ConcurrencyLimit(OPERATIONS_AT_ONCE);
  #stopped = false;
  /** See `releaseAll`. */
  #leaving = false;

  constructor(dependencies: EnrolmentDependencies) {
    this.#dependencies = dependencies;
  }

  /** To be called once, before the first `reconcile`: pods that a former agent left captured. */
  adopt(pods: readonly AdoptedPod[]): void {
    for (const { uid } of pods) {
      const entry = this.#entry(uid, uid);
      entry.actual = { kind: 'captured' };
      entry.goal = { kind: 'released' };
    }
  }

  /**
   * @param pods pods of this node, the unwanted ones included
   * @param allKnown these are all of them: one that is missing is gone
   * @param isStarting of a pod that is missing: it has no addresses yet
   */
  reconcile(
    pods: ReadonlyMap<string, LocalPod>,
    allKnown = true,
    isStarting: (uid: string) => boolean = () => false,
  ): void {
    for (const pod of pods.values()) {
      const entry = this.#entry(pod.uid, nameOf(pod));
      entry.listed = true;
      this.#setGoal(entry, this.#leaving ? { kind: 'released' } : this.#goalOf(pod));
    }
    for (const entry of [...this.#entries.values()]) {
      if (!pods.has(entry.uid))
        this.#setGoal(entry, goalWithoutPod(entry.listed, allKnown && (entry.listed || !isStarting(entry.uid))));
    }
    this.#report();
  }

  /** The engine says that nothing of a pod is left. */
  released(uid: string): void {
    const entry = this.#entries.get(uid);
    if (entry?.actual.kind !== 'releasing') return;
    entry.actual = { kind: 'nothing' };
    this.#pursue(entry);
  }

  /** Of the pods that are served or shall be. */
  identities(): ReadonlySet<string> {
    const identities = new Set<string>();
    for (const { goal, actual } of this.#entries.values()) {
      if (goal.kind === 'served') identities.add(goal.spec.identity);
      if (actual.kind === 'served') identities.add(actual.spec.identity);
    }
    return identities;
  }

  status(): readonly PodStatus[] {
    return [...this.#entries.values()].map(statusOf);
  }

  podStatus(uid: string): PodStatus | null {
    const entry = this.#entries.get(uid);
    return entry === undefined ? null : statusOf(entry);
  }

  /** Path of the network namespace in which the engine serves the pod; null: it does not. */
  servedNetns(uid: string): string | null {
    const actual = this.#entries.get(uid)?.actual;
    return actual?.kind === 'served' ? actual.spec.netns : null;
  }

  /** Pods of waypoints and gateways that the engine serves. */
  proxies(): readonly ServedProxy[] {
    return [...this.#entries.values()].flatMap(({ actual, name }) => {
      if (actual.kind !== 'served' || !actual.spec.handover) return [];
      const { uid, netns, identity, bypassInbound } = actual.spec;
      return [{ uid, name, kind: bypassInbound ? 'gateway' : 'waypoint', netns, identity }];
    });
  }

  /** From now on no pod is wanted, whatever the manifests say: all leave, and their open connections go on. */
  releaseAll(): void {
    this.#leaving = true;
    for (const entry of [...this.#entries.values()]) this.#setGoal(entry, { kind: 'released' });
    this.#report();
  }

  /** Nothing is captured any more, whether for this agent or by a former one. */
  get hasLeft(): boolean {
    return this.status().every(({ enrolled, captured }) => !enrolled && !captured);
  }

  /** Starts nothing new; what the engine serves stays served. */
  stop(): void {
    this.#stopped = true;
    for (const entry of this.#entries.values()) entry.cancelRetry?.();
  }

  #goalOf(pod: LocalPod): Goal {
    return goalOf(pod, this.#dependencies.placedLater, this.#dependencies.dnsCapture);
  }

  #entry(uid: string, name: string): Entry {
    const known = this.#entries.get(uid);
    if (known !== undefined) {
      known.name = name;
      return known;
    }
    const entry: Entry = {
      uid,
      name,
      listed: false,
      goal: { kind: 'released' },
      actual: { kind: 'nothing' },
      failures: 0,
      lastError: null,
      busy: false,
      cancelRetry: null,
    };
    this.#entries.set(uid, entry);
    return entry;
  }

  #setGoal(entry: Entry, goal: Goal): void {
    if (!isDeepStrictEqual(entry.goal, goal)) {
      entry.goal = goal;
      entry.failures = 0;
      entry.lastError = null;
      this.#cancelRetry(entry);
    }
    if (entry.cancelRetry === null) this.#pursue(entry);
  }

  #cancelRetry(entry: Entry): void {
    entry.cancelRetry?.();
    entry.cancelRetry = null;
  }

  #pursue(entry: Entry): void {
    if (entry.busy || this.#stopped) return;
    const operation = this.#nextOperation(entry);
    if (operation === null) {
      if (entry.actual.kind === 'nothing' && isLeaving(entry.goal)) this.#entries.delete(entry.uid);
      return;
    }
    entry.busy = true;
    void this.#run(entry, operation);
  }

  async #run(entry: Entry, operation: () => Promise<void>): Promise<void> {
    try {
      await this.#limit.run(operation);
      entry.failures = 0;
      entry.lastError = null;
    } catch (error) {
      this.#failed(entry, error);
    }
    entry.busy = false;
    this.#report();
    if (entry.cancelRetry === null) this.#pursue(entry);
  }

  /** Null: the goal is reached. A changed identity is left to the engine, which keeps the pod captured meanwhile. */
  #nextOperation(entry: Entry): (() => Promise<void>) | null {
    const { goal, actual } = entry;
    if (goal.kind === 'served') {
      if (actual.kind === 'served' && isDeepStrictEqual(actual.spec, goal.spec)) return null;
      if (actual.kind === 'served' && actual.spec.netns !== goal.spec.netns) return () => this.#forget(entry);
      return () => this.#enrol(entry, goal.spec);
    }
    if (actual.kind === 'nothing' || goal.kind === 'awaited') return null;
    if (goal.kind === 'forgotten') return () => this.#forget(entry);
    return actual.kind === 'releasing' ? null : () => this.#unenrol(entry);
  }

  async #enrol(entry: Entry, spec: PodSpec): Promise<void> {
    const { engine, metrics, logger, onEnrolled, prepare } = this.#dependencies;
    await prepare(spec);
    const first = entry.actual.kind !== 'served';
    if (first) entry.actual = { kind: 'captured' };
    await engine.enrol(spec);
    entry.actual = { kind: 'served', spec };
    if (!first) return;
    metrics.podsStarted.inc();
    logger.info({ pod: entry.name, uid: entry.uid, identity: spec.identity }, 'pod enrolled');
    onEnrolled(entry.uid, true);
  }

  async #unenrol(entry: Entry): Promise<void> {
    this.#leave(entry);
    entry.actual = { kind: 'releasing' };
    try {
      await ignoringUnknown(this.#dependencies.engine.unenrol(entry.uid), () => {
        entry.actual = { kind: 'nothing' };
      });
    } catch (error) {
      entry.actual = { kind: 'captured' };
      throw error;
    }
    this.#dependencies.logger.info({ pod: entry.name, uid: entry.uid }, 'pod un-enrolled');
  }

  async #forget(entry: Entry): Promise<void> {
    this.#leave(entry);
    entry.actual = { kind: 'captured' };
    await ignoringUnknown(this.#dependencies.engine.forget(entry.uid), () => undefined);
    entry.actual = { kind: 'nothing' };
    this.#dependencies.logger.info({ pod: entry.name, uid: entry.uid }, 'pod forgotten');
  }

  /** Others must stop to be joined with the pod before it is let go. */
  #leave(entry: Entry): void {
    if (entry.actual.kind !== 'served') return;
    this.#dependencies.metrics.podsStopped.inc();
    this.#dependencies.onEnrolled(entry.uid, false);
  }

  #failed(entry: Entry, error: unknown): void {
    const { metrics, logger, random, timers } = this.#dependencies;
    entry.failures++;
    entry.lastError = errorFields(error).error;
    metrics.enrolmentFailures.inc();
    if (this.#stopped) return;
    const delay = backOffDelay(entry.failures, RETRY, random);
    const fields = { ...errorFields(error), pod: entry.name, uid: entry.uid, goal: entry.goal.kind, retryInMs: delay };
    // Said once at the level that operators watch; a pod whose namespace never comes would else fill the log.
    if (entry.failures === 1) logger.warn(fields, 'pod could not be brought to its goal');
    else logger.debug({ ...fields, failures: entry.failures }, 'pod still could not be brought to its goal');
    entry.cancelRetry = timers.after(delay, () => {
      entry.cancelRetry = null;
      this.#pursue(entry);
    });
  }

  #report(): void {
    const pods = this.status();
    const { podsEnrolled, podsPending } = this.#dependencies.metrics;
    podsEnrolled.set(pods.filter((pod) => pod.enrolled).length);
    podsPending.set(pods.filter((pod) => pod.wanted && !pod.enrolled).length);
    this.#dependencies.onChange();
  }
}

/** What the engine does not know is not there, which is what was asked for. */
async function ignoringUnknown(operation: Promise<void>, unknown: () => void): Promise<void> {
  try {
    await operation;
  } catch (error) {
    if (errorCode(error) !== 'UNKNOWN_POD') throw error;
    unknown();
  }
}

function statusOf({ uid, name, goal, actual, failures, lastError }: Entry): PodStatus {
  return {
    uid,
    name,
    wanted: !isLeaving(goal),
    awaited: goal.kind === 'awaited',
    enrolled: actual.kind === 'served',
    captured: actual.kind === 'served' || actual.kind === 'captured',
    failures,
    lastError,
  };
}

function isLeaving({ kind }: Goal): boolean {
  return kind === 'released' || kind === 'forgotten';
}

function nameOf(pod: LocalPod): string {
  return `${pod.namespace}/${pod.name}`;
}
