import { describeError } from '../config/errors.ts';
import type { HealthReport } from '../native/binding.ts';
import { withDeadline } from '../timing/deadline.ts';
import type { Timers } from '../timing/timers.ts';
import type { CertificateStatus } from '../ztunnel/certificates.ts';
import type { PodStatus } from './enrolment.ts';

export interface ReadinessDependencies {
  readonly timers: Timers;
  /** Asks the kernel, through the engine. */
  readonly health: () => Promise<HealthReport>;
  readonly pods: () => readonly PodStatus[];
  readonly certificates: () => readonly CertificateStatus[];
}

/** Whether the node's pods are served, and what is missing if not. */
export interface ReadinessReport {
  readonly ready: boolean;
  /** In words for an operator. */
  readonly pending: readonly string[];
}

/** A kubelet waits a second for its probe by default. */
const HEALTH_DEADLINE_MS = 800;

/** Collects the reasons against readiness; none of them stops the agent from serving. */
export class Readiness {
  readonly #dependencies: ReadinessDependencies;
  readonly #startTasks: Set<string>;
  #fault: string | null = null;
  #draining = false;

  /** @param startTasks what must be done once before the agent is ready */
  constructor(dependencies: ReadinessDependencies, startTasks: readonly string[]) {
    this.#dependencies = dependencies;
    this.#startTasks = new Set(startTasks);
  }

  done(startTask: string): void {
    this.#startTasks.delete(startTask);
  }

  /** An error that nothing caught: the state may be damaged, so only a restart makes the agent ready again. */
  setFault(error: unknown): void {
    this.#fault ??= `uncaught error: ${describeError(error)}`;
  }

  setDraining(): void {
    this.#draining = true;
  }

  async report(): Promise<ReadinessReport> {
    const pending = [...this.#startTasks];
    if (this.#draining) pending.push('draining');
    if (this.#fault !== null) pending.push(this.#fault);
    pending.push(...untriedPods(this.#dependencies.pods()), ...missingCertificates(this.#dependencies.certificates()));
    // The engine can be asked only after it has started, and no more once it drains.
    if (this.#startTasks.size === 0 && !this.#draining) pending.push(...(await this.#missingInKernel()));
    return { ready: pending.length === 0, pending };
  }

  async #missingInKernel(): Promise<readonly string[]> {
    const timeout = (): Error => new Error(`no answer within ${HEALTH_DEADLINE_MS} ms`);
    const { timers, health } = this.#dependencies;
    try {
      const { effective, missing } = await withDeadline(HEALTH_DEADLINE_MS, timers, timeout, health);
      if (effective) return [];
      return missing.length > 0 ? missing : ['the kernel does not run all programs of this agent'];
    } catch (error) {
      return [`health of the engine: ${describeError(error)}`];
    }
  }
}

/**
 * A pod that could not be enrolled is reported in log and metrics and does not hold back the node: otherwise one pod
 * whose namespace never comes would keep a whole node out of service.
 */
function untriedPods(pods: readonly PodStatus[]): readonly string[] {
  return pods
    .filter((pod) => pod.wanted && !pod.awaited && !pod.enrolled && pod.failures === 0)
    .map((pod) => `pod ${pod.name}`);
}

/**
 * Likewise: one that was never had is reported, one that was not tried yet holds back. So does one that has expired: its
 * pods did work, and work no more.
 */
function missingCertificates(certificates: readonly CertificateStatus[]): readonly string[] {
  return certificates.flatMap(({ identity, state, reason, certificateChain }) => {
    if (state === 'initializing') return [`certificate of ${identity}`];
    if (state === 'unavailable' && certificateChain !== null) return [`certificate of ${identity}: ${reason ?? ''}`];
    return [];
  });
}
