import type { Question } from '../native/binding.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import type { Timers } from '../timing/timers.ts';
import type { DemandedName } from './demanded-name.ts';

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

/** A name that was asked for and not answered yet. */
interface Pending {
  readonly name: DemandedName;
  readonly since: number;
  readonly held: Set<Held>;
  overdue: boolean;
}

/** Names that the control plane was asked for, and the questions that wait for what it says of them. */
export class HeldQuestions {
  readonly #dependencies: HeldQuestionsDependencies;
  readonly #pending = new Map<DemandedName, Pending>();
  /** When a question began to wait: it may wait for one name after the other, and is not given time for each. */
  readonly #waiting = new WeakMap<Question, number>();
  #toldOverdue = false;

  constructor(dependencies: HeldQuestionsDependencies) {
    this.#dependencies = dependencies;
  }

  has(name: DemandedName): boolean {
    return this.#pending.has(name);
  }

  names(): readonly DemandedName[] {
    return [...this.#pending.keys()];
  }

  /** The name was asked for. */
  expect(name: DemandedName): void {
    if (this.#pending.has(name)) return;
    const since = this.#dependencies.timers.now();
    this.#pending.set(name, { name, since, held: new Set(), overdue: false });
  }

  /**
   * False where the name is not expected, or was expected for too long: then the question is to be decided on what is known.
   * @param patience milliseconds since the name was asked for, the question came, or the control plane went away
   */
  hold(question: Question, name: DemandedName, patience: number): boolean {
    const pending = this.#pending.get(name);
    if (pending === undefined) return false;
    const { timers, letGo } = this.#dependencies;
    const wait = this.#begin(question, pending) + patience - timers.now();
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

  /** The control plane has said what the name stands for. @returns what has waited for it */
  answered(name: DemandedName, found: boolean): readonly Question[] {
    const pending = this.#pending.get(name);
    if (pending === undefined) return [];
    const { metrics, timers } = this.#dependencies;
    this.#toldOverdue = false;
    metrics.onDemandFetches.inc({ result: found ? 'found' : 'absent' });
    metrics.onDemandSeconds.observe((timers.now() - pending.since) / 1000);
    return this.abandon(name);
  }

  /** The name is expected no more. @returns what has waited for it */
  abandon(name: DemandedName): readonly Question[] {
    const held = this.#pending.get(name)?.held ?? [];
    this.#pending.delete(name);
    for (const { cancel } of held) cancel();
    return [...held].map(({ question }) => question);
  }

  #begin(question: Question, { since }: Pending): number {
    const { timers, awaySince } = this.#dependencies;
    const first = this.#waiting.get(question) ?? timers.now();
    this.#waiting.set(question, first);
    return Math.min(first, since, awaySince() ?? since);
  }

  #tellOverdue(pending: Pending, { kind, pod }: Question): void {
    // That a source has no name yet is no fault that anybody would have to look for.
    if (pending.overdue || kind === 'inbound') return;
    pending.overdue = true;
    const { metrics, logger, awaySince } = this.#dependencies;
    metrics.onDemandFetches.inc({ result: 'timeout' });
    const fields = { name: pending.name, pod, connected: awaySince() === null };
    const text = 'the control plane has not said who has this name: connections that need it are refused until it does';
    // Once for each time that it is silent; a pod that tries many addresses must not fill the log.
    logger[this.#toldOverdue ? 'debug' : 'warn'](fields, text);
    this.#toldOverdue = true;
  }
}
