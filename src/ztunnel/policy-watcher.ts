import type { InboundFlowPage, InboundFlows, InboundQuestion, NativeEngine } from '../native/binding.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { Slices } from '../timing/slices.ts';
import type { DecisionPlane } from './decision-plane.ts';
import { isAllowed } from './inbound.ts';
import type { PodPolicies } from './inbound.ts';
import { keys } from './keys.ts';

export interface PolicyWatcherDependencies {
  readonly plane: Pick<DecisionPlane, 'podPolicies' | 'generation' | 'state'>;
  readonly engine: Pick<NativeEngine, 'inboundFlows' | 'closeInboundFlows'>;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'policySweepSeconds' | 'policyExaminedFlows' | 'policyClosedFlows'>;
}

/** What the access log says of a connection that a change of policy ended. */
export const POLICY_CHANGED = 'policy_changed';

/** Kinds of flows asked for at once: the call is short, and few calls are enough for many. */
const PAGE = 1000;

/** What a sweep did. */
interface Tally {
  examined: number;
  closed: number;
}

/**
 * Has connections follow policy: after a change, those into pods whose policies it touched are decided again, and the
 * ones that are now denied are closed. One that is still on its way is listed like an open one, and before it asks: each is
 * found here, or asks after the change.
 */
export class PolicyWatcher {
  readonly #dependencies: PolicyWatcherDependencies;
  readonly #podKey = keys.pod('');
  #affected = new Set<string>();
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
    this.#sweeping ??= this.#sweepAll();
  }

  /** Resolves when everything that has changed until now is enforced on what was open. */
  async settled(): Promise<void> {
    await this.#sweeping;
  }

  stop(): void {
    this.#stopped = true;
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

  async #sweepAll(): Promise<void> {
    const { metrics, logger } = this.#dependencies;
    const started = performance.now();
    const tally: Tally = { examined: 0, closed: 0 };
    while (this.#affected.size > 0 && !this.#stopped) {
      const pods = this.#affected;
      this.#affected = new Set();
      await this.#attempt(pods, tally);
    }
    this.#sweeping = null;
    const milliseconds = performance.now() - started;
    metrics.policySweepSeconds.observe(milliseconds / 1000);
    if (tally.closed > 0) logger.info({ ...tally, milliseconds }, 'a change of policy closed connections');
  }

  async #attempt(pods: ReadonlySet<string>, tally: Tally): Promise<void> {
    const decisions = new SweepDecisions(this.#dependencies);
    const slices = new Slices();
    try {
      for (const pod of pods) await this.#sweepPod(pod, { decisions, slices, tally });
    } catch (error) {
      // Only the engine's calls can fail here, and then it is stopped: no flow is open any more.
      this.#dependencies.logger.error(errorFields(error), 'open connections could not be looked at');
    }
  }

  async #sweepPod(pod: string, sweep: Sweep): Promise<void> {
    const { engine } = this.#dependencies;
    let next: number | null = 0;
    while (next !== null) {
      const page: InboundFlowPage = engine.inboundFlows(pod, next, PAGE);
      await this.#sweepPage(pod, page.flows, sweep);
      next = page.next;
    }
  }

  /**
   * A decision holds for all that ask the same, also for those that come while it is made: they are told to end in the slice
   * that has decided, so that no other state is in force yet.
   */
  async #sweepPage(pod: string, flows: readonly InboundFlows[], { decisions, slices, tally }: Sweep): Promise<void> {
    let denied: number[] = [];
    const close = (): void => {
      this.#close(pod, denied, tally);
      denied = [];
    };
    for (const { id, question, count } of flows) {
      this.#count(count, tally);
      if (!decisions.allows(question)) denied.push(id);
      if (!slices.exhausted) continue;
      // Closed before giving way: until then the flow carries bytes that policy forbids.
      close();
      await slices.pause();
    }
    close();
  }

  #count(examined: number, tally: Tally): void {
    tally.examined += examined;
    this.#dependencies.metrics.policyExaminedFlows.inc(examined);
  }

  #close(pod: string, denied: readonly number[], tally: Tally): void {
    if (denied.length === 0) return;
    const closed = this.#dependencies.engine.closeInboundFlows(pod, denied, POLICY_CHANGED);
    this.#dependencies.metrics.policyClosedFlows.inc(closed);
    tally.closed += closed;
  }
}

interface Sweep {
  readonly decisions: SweepDecisions;
  readonly slices: Slices;
  readonly tally: Tally;
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
