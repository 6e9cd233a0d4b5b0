import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  /** Milliseconds; 10 s unless given. */
  readonly timeout?: number;
  /** Milliseconds between two looks; 25 unless given. */
  readonly interval?: number;
  /** What is waited for, for the message when it does not come. */
  readonly what?: string;
}

/**
 * Looks until the condition gives something true, and returns that. A condition that throws is asked again.
 *
 * @throws Error with the condition's last failure when the time is over.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<Exclude<T, false | null | undefined>> {
  const { timeout = 10_000, interval = 25, what = 'the condition' } = options;
  const deadline = Date.now() + timeout;
  let last: unknown = null;
  do {
    try {
      const value = await condition();
      if (value !== false && value !== null && value !== undefined)
        return value as Exclude<T, false | null | undefined>;
      last = value;
    } catch (error) {
      last = error;
    }
    await delay(interval);
  } while (Date.now() < deadline);
  const seen = last instanceof Error ? last.message : String(last);
  throw new Error(`${what} did not come true within ${timeout} ms; last seen: ${seen}`, { cause: last });
}
