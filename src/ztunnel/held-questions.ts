import type { IpAddress } from '../model/address.ts';
import type { Question } from '../native/binding.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import type { Timers } from '../timing/timers.ts';

export interface HeldQuestionsDependencies {
  /** Since when nobody could answer, milliseconds since the epoch; null: somebody can. */
  readonly awaySince: () => number | null;
  /** Takes a question that has waited for long enough. */
  readonly letGo: (question: Question) => void;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'onDemandFetches' | 'onDemandSeconds'>;
}

interface Held {
  readonly question: Question;
  readonly cancel: () => void;
}

/** An address that was asked for and not answered yet. */
interface Pending {
  readonly address: IpAddress;
  readonly since: number;
  readonly held: Set<Held>;
  overdue: boolean;
}

/** Addresses that the control plane was asked for, and the questions that wait for what it says of them. */
export class HeldQuestions {
  readonly #dependencies: HeldQuestionsDependencies;
  readonly #pending = new Map<string, Pending>();
  #toldOverdue = false;

  constructor(dependencies: HeldQuestionsDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param address in canonical text */
  has(address: string): boolean {
    return this.#pending.has(address);
  }

  addresses(): readonly IpAddress[] {
    return [...this.#pending.values()].map(({ address }) => address);
  }

  /** The address was asked for. */
  expect(address: IpAddress): void {
    if (this.#pending.has(address.text)) return;
    const since = this.#dependencies.timers.now();
    this.#pending.set(address.text, { address, since, held: new Set(), overdue: false });
  }

  /**
   * False where the address is not expected, or was expected for too long: then the question is to be decided on what is
   * known.
   * @param patience milliseconds since the address was asked for, or the control plane went away
   */
  hold(question: Question, address: IpAddress, patience: number): boolean {
    const pending = this.#pending.get(address.text);
    if (pending === undefined) return false;
    const { timers, awaySince, letGo } = this.#dependencies;
    const wait = Math.min(pending.since, awaySince() ?? pending.since) + patience - timers.now();
    if (wait <= 0) {
      this.#tellOverdue(pending, question);
      return false;
    }
    const held: Held = {
      question,
      cancel: timers.after(wait, () => {
        pending.held.delete(held);
        this.#tellOverdue(pending, question);
        letGo(question);
      }),
    };
    pending.held.add(held);
    return true;
  }

  /** The control plane has said who has the address. @returns what has waited for it */
  answered(address: string, found: boolean): readonly Question[] {
    const pending = this.#pending.get(address);
    if (pending === undefined) return [];
    const { metrics, timers } = this.#dependencies;
    this.#toldOverdue = false;
    metrics.onDemandFetches.inc({ result: found ? 'found' : 'absent' });
    metrics.onDemandSeconds.observe((timers.now() - pending.since) / 1000);
    return this.abandon(address);
  }

  /** The address is expected no more. @returns what has waited for it */
  abandon(address: string): readonly Question[] {
    const held = this.#pending.get(address)?.held ?? [];
    this.#pending.delete(address);
    for (const { cancel } of held) cancel();
    return [...held].map(({ question }) => question);
  }

  #tellOverdue(pending: Pending, { kind, pod }: Question): void {
    // That a source has no name yet is no fault that anybody would have to look for.
    if (pending.overdue || kind === 'inbound') return;
    pending.overdue = true;
    const { metrics, logger, awaySince } = this.#dependencies;
    metrics.onDemandFetches.inc({ result: 'timeout' });
    const fields = { address: pending.address.text, pod, connected: awaySince() === null };
    const text = 'the control plane has not said who has this address: connections to it are refused until it does';
    // Once for each time that it is silent; a pod that tries many addresses must not fill the log.
    logger[this.#toldOverdue ? 'debug' : 'warn'](fields, text);
    this.#toldOverdue = true;
  }
}
