import type { Timers } from './timers.ts';

/** Resolves after so many milliseconds, or when the signal is aborted. */
export async function pause(milliseconds: number, timers: Timers, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = timers.after(milliseconds, done);
    signal.addEventListener('abort', done, { once: true });
  });
}

/**
 * A controller that is also aborted by the signal, until it is released. Not `AbortSignal.any`: on a signal that lives as long as
 * the process that keeps an entry for each use (nodejs/node#54614).
 */
export function linkedController(signal: AbortSignal | undefined): LinkedController {
  const controller = new AbortController();
  const follow = (): void => {
    controller.abort(signal?.reason);
  };
  if (signal?.aborted === true) follow();
  else signal?.addEventListener('abort', follow, { once: true });
  return {
    controller,
    release: () => {
      signal?.removeEventListener('abort', follow);
    },
  };
}

export interface LinkedController {
  readonly controller: AbortController;
  readonly release: () => void;
}
