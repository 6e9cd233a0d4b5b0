import type { Timers } from '../../src/timing/timers.ts';

interface Planned {
  readonly at: number;
  readonly callback: () => void;
}

/** A clock that stands still until it is moved. */
export class ManualTimers implements Timers {
  #now: number;
  readonly #planned = new Set<Planned>();

  constructor(now = 0) {
    this.#now = now;
  }

  /** How long each waiting callback has still to wait, the next one first. */
  get waits(): readonly number[] {
    return [...this.#planned].map(({ at }) => at - this.#now).sort((left, right) => left - right);
  }

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, callback: () => void): () => void {
    const planned = { at: this.#now + milliseconds, callback };
    this.#planned.add(planned);
    return () => this.#planned.delete(planned);
  }

  /** Moves the clock and calls what is due, in order. What the callbacks set going runs after the caller's next await. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const due = [...this.#planned].filter(({ at }) => at <= end).sort((left, right) => left.at - right.at)[0];
      if (due === undefined) break;
      this.#planned.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
    }
    this.#now = end;
  }
}

/** Lets everything that is settled already run its course. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
