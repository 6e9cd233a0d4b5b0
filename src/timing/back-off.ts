import type { Random } from './timers.ts';

export interface BackOffOptions {
  /** Milliseconds. */
  readonly first: number;
  readonly longest: number;
  /** Share of the wait that chance takes off or adds: many that failed together must not try again together. */
  readonly jitter: number;
}

/** Doubles from `first` to `longest`. @param failures how many attempts have failed, at least 1 */
export function backOffDelay(failures: number, options: BackOffOptions, random: Random): number {
  const doubled = options.first * 2 ** Math.min(failures - 1, 30);
  const factor = 1 - options.jitter + 2 * options.jitter * random();
  return Math.round(Math.min(doubled, options.longest) * factor);
}
