import { pause } from '../../timing/pause.ts';
import type { Timers } from '../../timing/timers.ts';

export interface Patience {
  readonly timers: Timers;
  /** Milliseconds in all. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

const INTERVAL_MS = 1000;

/** Asks until there is an answer other than null; null where the time is over before. @throws the signal's reason */
export async function poll<T>({ timers, limit, signal }: Patience, ask: () => Promise<T | null>): Promise<T | null> {
  const end = timers.now() + limit;
  for (;;) {
    const answer = await ask();
    if (answer !== null || timers.now() >= end) return answer;
    await pause(INTERVAL_MS, timers, signal);
    signal.throwIfAborted();
  }
}
