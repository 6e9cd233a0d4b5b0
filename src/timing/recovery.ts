import { linkedController, pause } from './pause.ts';
import type { Random, Timers } from './timers.ts';

/** Those who waited together must not ask together. Milliseconds. */
const SPREAD_MS = 2000;
/** One that fails in between and recovers again wakes nobody anew: what is wrong then is not that nobody answers. Milliseconds. */
const LEAST_INTERVAL_MS = 5000;

/**
 * One server, as those see it who ask it apart from each other and pause for long while it is away: the first one that is
 * answered again ends the pauses of the others.
 */
export class Recovery {
  readonly #timers: Timers;
  readonly #waiting = new Set<() => void>();
  #recoveredAt = Number.NEGATIVE_INFINITY;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** After failures one of those who ask was answered. */
  recovered(): void {
    const now = this.#timers.now();
    if (now - this.#recoveredAt < LEAST_INTERVAL_MS) return;
    this.#recoveredAt = now;
    for (const wake of [...this.#waiting]) wake();
  }

  /**
   * Resolves after so many milliseconds, or soon after the server has answered somebody else, or when the signal is aborted.
   *
   * @param askedAt when the request began that has failed; the server may have come back while it was under way
   * @returns whether the server is back
   */
  async pause(milliseconds: number, askedAt: number, random: Random, signal: AbortSignal): Promise<boolean> {
    const soon = (): number => Math.min(milliseconds, SPREAD_MS * random());
    if (this.#recoveredAt >= askedAt) {
      await pause(soon(), this.#timers, signal);
      return true;
    }
    const { controller, release } = linkedController(signal);
    const wake = (): void => {
      controller.abort();
    };
    this.#waiting.add(wake);
    await pause(milliseconds, this.#timers, controller.signal);
    this.#waiting.delete(wake);
    release();
    const isBack = controller.signal.aborted && !signal.aborted;
    if (isBack) await pause(soon(), this.#timers, signal);
    return isBack;
  }
}
