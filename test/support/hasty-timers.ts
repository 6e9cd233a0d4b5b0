import type { Timers } from '../../src/timing/timers.ts';

/** A clock that jumps to whatever is waited for next: long waits pass at once, in their order. */
export class HastyTimers implements Timers {
  #now = 0;

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, callback: () => void): () => void {
    const immediate = setImmediate(() => {
      this.#now += milliseconds;
      callback();
    });
    return () => {
      clearImmediate(immediate);
    };
  }
}
