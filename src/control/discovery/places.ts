import { ConcurrencyLimit } from '../../timing/concurrency-limit.ts';
import type { Timers } from '../../timing/timers.ts';

export interface PlacesOptions {
  /** How many tasks run at once. */
  readonly count: number;
  /** Whoever takes longer loses its place to the others and goes on without one. Milliseconds. */
  readonly longest: number;
}

/** Bounds what many clients may have under way at once, without letting a slow one stop all others. */
export class Places {
  readonly #timers: Pick<Timers, 'after'>;
  readonly #longest: number;
  readonly #limit: ConcurrencyLimit;

  constructor({ count, longest }: PlacesOptions, timers: Pick<Timers, 'after'>) {
    this.#timers = timers;
    this.#longest = longest;
    this.#limit = new ConcurrencyLimit(count);
  }

  /** Resolves, or rejects, with the task. */
  async run(task: () => Promise<void>): Promise<void> {
    let ended: Promise<void> = Promise.resolve();
    await this.enter(() => (ended = task()));
    await ended;
  }

  /** Resolves when the task has given back its place, be it that it has ended or that it takes too long. */
  enter(task: () => Promise<void>): Promise<void> {
    return this.#limit.run(() => this.#atMost(task().catch(() => undefined)));
  }

  async #atMost(ended: Promise<void>): Promise<void> {
    let cancel: () => void = () => undefined;
    const waited = new Promise<void>((resolve) => {
      cancel = this.#timers.after(this.#longest, resolve);
    });
    await Promise.race([ended, waited]);
    cancel();
  }
}
