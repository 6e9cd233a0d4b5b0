import type { InboundQuestion, Question } from '../native/binding.ts';
import type { Timers } from '../timing/timers.ts';

export interface PolicyGateDependencies {
  /** Whether policies that count for a pod of this node are named and not known yet. */
  readonly awaitsPolicies: (pod: string) => boolean;
  readonly next: { submit(questions: readonly Question[]): void };
  readonly timers: Timers;
  /** How long a question may wait; less than it may wait for its answer. Milliseconds. */
  readonly patience: number;
}

interface Held {
  readonly question: InboundQuestion;
  readonly cancel: () => void;
}

/**
 * Holds back who wants to come into a pod while its policies are not known: others may hear of a pod that has just started
 * a moment before its own node does. It only ever delays: who has waited for too long is decided on what is known, and denied.
 * The engine bounds how many questions there are.
 */
export class PolicyGate {
  readonly #dependencies: PolicyGateDependencies;
  readonly #held = new Set<Held>();

  constructor(dependencies: PolicyGateDependencies) {
    this.#dependencies = dependencies;
  }

  submit(questions: readonly Question[]): void {
    const { awaitsPolicies, next } = this.#dependencies;
    const ready = questions.filter((question) => {
      if (question.kind !== 'inbound' || !awaitsPolicies(question.pod)) return true;
      this.#hold(question);
      return false;
    });
    if (ready.length > 0) next.submit(ready);
  }

  /** Another state is in force. */
  changed(): void {
    if (this.#held.size === 0) return;
    const { awaitsPolicies, next } = this.#dependencies;
    const ready = [...this.#held].filter(({ question }) => !awaitsPolicies(question.pod));
    for (const held of ready) {
      held.cancel();
      this.#held.delete(held);
    }
    if (ready.length > 0) next.submit(ready.map(({ question }) => question));
  }

  stop(): void {
    for (const { cancel } of this.#held) cancel();
    this.#held.clear();
  }

  #hold(question: InboundQuestion): void {
    const { timers, patience, next } = this.#dependencies;
    const held: Held = {
      question,
      cancel: timers.after(patience, () => {
        this.#held.delete(held);
        next.submit([question]);
      }),
    };
    this.#held.add(held);
  }
}
