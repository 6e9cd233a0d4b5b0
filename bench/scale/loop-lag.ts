import { quantile } from './quantile.ts';

const interval = 2;

/** What the loop kept others waiting, milliseconds. */
export interface Lag {
  readonly p99: number;
  readonly longest: number;
}

/**
 * How long something that becomes due at a moment of chance waits for its turn. A timer alone would count a stall of a
 * second as one late firing among hundreds, so each stall also stands for the firings that it swallowed.
 */
export class LoopLag {
  #waits: number[] = [];
  #expected = performance.now() + interval;
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => {
      this.#sample();
    }, interval);
    this.#timer.unref();
  }

  /** Since the last call. */
  take(): Lag {
    const sorted = this.#waits.sort((left, right) => left - right);
    this.#waits = [];
    return { p99: quantile(sorted, 0.99), longest: sorted.at(-1) ?? 0 };
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    const now = performance.now();
    // Timers count whole milliseconds: one that is less than that late is on time.
    for (let wait = now - this.#expected; wait > -interval; wait -= interval) this.#waits.push(Math.max(0, wait));
    this.#expected = now + interval;
  }
}
