import { setImmediate } from 'node:timers/promises';

/** Longest time that one piece of work may keep questions of the engine waiting. Milliseconds. */
export const LONGEST_SLICE_MS = 5;

/** Lets long work give way: `await slices.pause()` in its loop costs a clock reading until the slice is used up. */
export class Slices {
  #started = performance.now();

  /** True once the slice is used up: then `pause` should be awaited. */
  get exhausted(): boolean {
    return performance.now() - this.#started >= LONGEST_SLICE_MS;
  }

  async pause(): Promise<void> {
    if (!this.exhausted) return;
    await setImmediate();
    this.#started = performance.now();
  }
}

/**
 * Runs work that yields between its pieces, giving way to others. @throws what the work throws, and the signal's reason
 * once that is aborted
 */
export async function runInSlices<T>(work: Generator<unknown, T>, signal?: AbortSignal): Promise<T> {
  const slices = new Slices();
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (!slices.exhausted) continue;
    await slices.pause();
    signal?.throwIfAborted();
  }
}
