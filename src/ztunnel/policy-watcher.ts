import type { FlowInfo, InboundQuestion, NativeEngine } from '../native/binding.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { Slices } from '../timing/slices.ts';
import type { Timers } from '../timing/timers.ts';
import type { DecisionPlane } from './decision-plane.ts';
import { isAllowed } from './inbound.ts';
import type { PodPolicies } from './inbound.ts';
import { keys } from './keys.ts';

export interface PolicyWatcherDependencies {
  readonly plane: Pick<DecisionPlane, 'podPolicies' | 'generation' | 'state'>;
  readonly engine: Pick<NativeEngine, 'flows' | 'closeFlows'>;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'policySweepSeconds' | 'policyExaminedFlows' | 'policyClosedFlows'>;
  /**
   * A flow that was let in just before a change is listed only once its application has been dialled: this long after the
   * change, those that were opened since are looked at again. Milliseconds.
   */
  readonly dialDeadline: number;
}

/** What the access log says of a connection that a change of policy ended. */
export const POLICY_CHANGED = 'policy_changed';

interface Sweep {
  readonly pods: ReadonlySet<string>;
  /** Only flows that were opened at this time or later. Milliseconds since the epoch. */
  readonly openedSince: number;
}

/**
 * Has open connections follow policy: after a change, those into pods whose policies it touched are decided again, and the
 * ones that are now denied are closed.
 */
export class PolicyWatcher {
  readonly #dependencies: PolicyWatcherDependencies;
  readonly #podKey = keys.pod('');
  #affected = new Set<string>();
  #late: { readonly pods: Set<string>; readonly since: number } | null = null;
  #cancelLate: (() => void) | null = null;
  #sweeping: Promise<void> | null = null;
  #stopped = false;

  constructor(dependencies: PolicyWatcherDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param touched keys of the state that have changed, as `Invalidation` names them; decisions stand on them already */
  stateChanged(touched: ReadonlySet<string>): void {
    if (this.#stopped || touched.size === 0) return;
    const pods = this.#podsTouched(touched);
    if (pods.size === 0) return;
    for (const pod of pods) this.#affected.add(pod);
    this.#planLateLook(pods);
    this.#sweeping ??= this.#sweepAll();
  }

  /** Resolves when everything that has changed until now is enforced on what was open. */
  async settled(): Promise<void> {
    await this.#sweeping;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelLate?.();
  }

  /** A pod that is gone is named by its key alone. */
  #podsTouched(touched: ReadonlySet<string>): ReadonlySet<string> {
    const { plane } = this.#dependencies;
    const pods = new Set<string>();
    for (const key of touched) if (key.startsWith(this.#podKey)) pods.add(key.slice(this.#podKey.length));
    for (const uid of plane.state.localPods.keys()) {
      if (plane.podPolicies(uid).keys.some((key) => touched.has(key))) pods.add(uid);
    }
    return pods;
  }

  #planLateLook(pods: ReadonlySet<string>): void {
    const { timers } = this.#dependencies;
    // A millisecond earlier: the engine reads its clock apart from ours.
    this.#late ??= { pods: new Set(), since: timers.now() - 1 };
    for (const pod of pods) this.#late.pods.add(pod);
    if (this.#cancelLate === null) this.#armLateLook();
  }

  #armLateLook(): void {
    const due = this.#late;
    this.#late = null;
    if (due === null) return;
    this.#cancelLate = this.#dependencies.timers.after(this.#dependencies.dialDeadline, () => {
      this.#cancelLate = null;
      void this.#attempt({ pods: due.pods, openedSince: due.since });
      this.#armLateLook();
    });
  }

  async #sweepAll(): Promise<void> {
    const started = performance.now();
    while (this.#affected.size > 0 && !this.#stopped) {
      const pods = this.#affected;
      this.#affected = new Set();
      await this.#attempt({ pods, openedSince: 0 });
    }
    this.#sweeping = null;
    this.#dependencies.metrics.policySweepSeconds.observe((performance.now() - started) / 1000);
  }

  async #attempt(sweep: Sweep): Promise<void> {
    try {
      await this.#sweep(sweep);
    } catch (error) {
      // Only the engine's calls can fail here, and then it is stopped: no flow is open any more.
      this.#dependencies.logger.error(errorFields(error), 'open connections could not be looked at');
    }
  }

  async #sweep({ pods, openedSince }: Sweep): Promise<void> {
    const { engine, metrics } = this.#dependencies;
    const slices = new Slices();
    const decisions = new SweepDecisions(this.#dependencies);
    let denied: number[] = [];
    let examined = 0;
    const close = (): void => {
      if (denied.length > 0) engine.closeFlows(denied, POLICY_CHANGED);
      metrics.policyClosedFlows.inc(denied.length);
      denied = [];
    };
    for (const flow of engine.flows()) {
      if (flow.question === null || !pods.has(flow.question.pod) || flow.openedAt < openedSince) continue;
      examined++;
      if (!decisions.allows(flow.question)) denied.push(this.#told(flow));
      if (!slices.exhausted) continue;
      // Closed before giving way: until then the flow carries bytes that policy forbids.
      close();
      await slices.pause();
    }
    close();
    metrics.policyExaminedFlows.inc(examined);
  }

  #told(flow: FlowInfo): number {
    const { id, pod, source, originalDestination } = flow;
    this.#dependencies.logger.debug({ id, pod, source, originalDestination }, 'connection is now denied');
    return flow.id;
  }
}

/** Decisions of one sweep: the policies of a pod are found once, unless the state changes in between. */
class SweepDecisions {
  readonly #dependencies: Pick<PolicyWatcherDependencies, 'plane' | 'logger'>;
  readonly #policies = new Map<string, PodPolicies | null>();
  #generation: number;

  constructor(dependencies: Pick<PolicyWatcherDependencies, 'plane' | 'logger'>) {
    this.#dependencies = dependencies;
    this.#generation = dependencies.plane.generation;
  }

  /** What cannot be decided is denied, as for a new connection. */
  allows(question: InboundQuestion): boolean {
    try {
      return isAllowed(this.#policiesOf(question.pod), question);
    } catch (error) {
      this.#dependencies.logger.error({ ...errorFields(error), question }, 'an open connection could not be decided');
      return false;
    }
  }

  #policiesOf(pod: string): PodPolicies | null {
    const { plane } = this.#dependencies;
    if (plane.generation !== this.#generation) {
      this.#policies.clear();
      this.#generation = plane.generation;
    }
    const known = this.#policies.get(pod);
    if (known !== undefined) return known;
    const { policies } = plane.podPolicies(pod);
    this.#policies.set(pod, policies);
    return policies;
  }
}
