import { closeByPolicy, closingAim } from '../test/support/policy-closing.ts';

/** What a policy edit that denies half of all open connections takes. Milliseconds. */
export interface ClosingMeasure {
  readonly open: number;
  readonly closed: number;
  readonly toldMilliseconds: number;
  readonly closedMilliseconds: number;
  readonly seenMilliseconds: number;
}

/** @throws Error when it closed others than it denies: a time for that means nothing */
export async function measureClosing(each: number): Promise<ClosingMeasure> {
  const { watched, afterwards, ...times } = await closeByPolicy(each);
  const right = watched.resets === each && watched.ids.every((id) => id >= each) && afterwards.ended === 0;
  if (!right) throw new Error(`of ${2 * each} connections, ${watched.resets} were reset instead of the ${each} denied`);
  const { toldMilliseconds, closedMilliseconds, seenMilliseconds } = times;
  return { open: 2 * each, closed: each, toldMilliseconds, closedMilliseconds, seenMilliseconds };
}

export function closingText(measure: ClosingMeasure): string {
  const { open, closed, toldMilliseconds, closedMilliseconds, seenMilliseconds } = measure;
  const verdict = closedMilliseconds <= closingAim ? 'reached' : 'missed';
  return (
    `a policy that denies ${closed} of ${open} open connections: the engine was told of the last after ` +
    `${Math.round(toldMilliseconds)} ms, it was closed after ${Math.round(closedMilliseconds)} ms ` +
    `(aim <= ${closingAim}: ${verdict}), seen by the client after ${Math.round(seenMilliseconds)} ms`
  );
}
