import type { Timers } from './timers.ts';

/** Rejects with `timeoutError` when the task takes longer; the task sees it as its signal's abort. */
export async function withDeadline<T>(
  milliseconds: number,
  timers: Timers,
  timeoutError: () => Error,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let cancel: () => void = () => undefined;
  const expired = new Promise<never>((_resolve, reject) => {
    cancel = timers.after(milliseconds, () => {
      const error = timeoutError();
      controller.abort(error);
      reject(error);
    });
  });
  try {
    return await Promise.race([task(controller.signal), expired]);
  } finally {
    cancel();
  }
}
