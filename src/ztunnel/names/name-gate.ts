import type { Question } from '../../native/binding.ts';
import type { Timers } from '../../timing/timers.ts';
import type { QuestionAnswerer } from '../questions.ts';
import type { NameResolver } from './name-resolver.ts';

export interface NameGateDependencies {
  readonly plane: {
    /** Names that the decision would have to know the addresses of, and does not. */
    unresolvedNames(question: Question): readonly string[];
    /** Of a pod of this node; empty where nobody knows it. */
    namespaceOf(pod: string): string;
  };
  readonly resolver: Pick<NameResolver, 'want'>;
  readonly next: Pick<QuestionAnswerer, 'submit' | 'refuse'>;
  readonly timers: Timers;
  /** How long a question may wait for addresses. Milliseconds. */
  readonly patience: number;
}

/** Holds questions back until the names that they stand on are looked up, or have failed to be. It only ever delays. */
export class NameGate {
  readonly #dependencies: NameGateDependencies;

  constructor(dependencies: NameGateDependencies) {
    this.#dependencies = dependencies;
  }

  submit(questions: readonly Question[]): void {
    const ready = questions.filter((question) => !this.#holdBack(question));
    if (ready.length > 0) this.#dependencies.next.submit(ready);
  }

  refuse(questions: readonly Question[], reason: string): void {
    this.#dependencies.next.refuse(questions, reason);
  }

  #holdBack(question: Question): boolean {
    const { plane, resolver, timers, patience } = this.#dependencies;
    const names = namesOf(plane, question);
    if (names.length === 0) return false;
    const namespace = plane.namespaceOf(question.pod);
    const missing = new Set(names);
    let held = false;
    let cancel: () => void = () => undefined;
    const release = (): void => {
      if (!held) return;
      held = false;
      cancel();
      this.#dependencies.next.submit([question]);
    };
    for (const name of names) {
      resolver.want(name, namespace, () => {
        missing.delete(name);
        if (missing.size === 0) release();
      });
    }
    if (missing.size === 0) return false;
    held = true;
    cancel = timers.after(patience, release);
    return true;
  }
}

/** What cannot be decided is left to who denies it, counts it and has it tried again. */
function namesOf(plane: NameGateDependencies['plane'], question: Question): readonly string[] {
  try {
    return plane.unresolvedNames(question);
  } catch {
    return [];
  }
}
