import { closeByPolicy, closingAim } from '../test/support/policy-closing.ts';

/** What a policy edit that denies half of all open connections takes. Milliseconds. */
export interface ClosingMeasure {
  readonly open: number;
  readonly closed: number;
  readonly closedMilliseconds: number;
  readonly seenMilliseconds: number;
}

/** @throws Error when it closed others than it denies: a time for that means nothing */
export async function measureClosing(each: number): Promise<ClosingMeasure> {
  const { watched, afterwards, closedMilliseconds, seenMilliseconds } = await closeByPolicy(each);
  const right = watched.resets === each && watched.ids.every((id) => id >= each) && afterwards.ended === 0;
  if (!right) throw new Error(`of ${2 * each} connections, ${watched.resets} were reset instead of the ${each} denied`);
  return { open: 2 * each, closed: each, closedMilliseconds, seenMilliseconds };
}

export function closingText({ open, closed, closedMilliseconds, seenMilliseconds }: ClosingMeasure): string {
  const verdict = closedMilliseconds <= closingAim ? 'reached' : 'missed';
  return (
    `a policy that denies ${closed} of ${open} open connections: closed after ${Math.round(closedMilliseconds)} ms ` +
    `(aim <= ${closingAim}: ${verdict}), seen by the client after ${Math.round(seenMilliseconds)} ms`
  );
}
