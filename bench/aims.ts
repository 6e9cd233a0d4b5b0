import type { Place } from './cells.ts';

/** A ratio to the run without a mesh, and which way is better. */
export interface Aim {
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** What this stage of the project has to reach, by metric; a cell without an entry has no aim. */
const aims: Readonly<Record<Place, Readonly<Record<string, Aim>>>> = {
  'cross node': {
    'stream 1 up': { atLeast: 0.18 },
    'stream 1 down': { atLeast: 0.18 },
    'round trip 1 p50': { atMost: 2.7 },
    'connections 1 reset': { atLeast: 0.15 },
    'connections 1 fin': { atLeast: 0.15 },
    'connections 8 reset': { atLeast: 0.13 },
    'connections 8 fin': { atLeast: 0.13 },
  },
  'same node': {
    'stream 1 up': { atLeast: 0.4 },
    'stream 1 down': { atLeast: 0.4 },
    'round trip 1 p50': { atMost: 2.2 },
  },
};

export function aimOf(place: Place, metric: string): Aim | null {
  return aims[place][metric] ?? null;
}

export function isReached(aim: Aim, ratio: number): boolean {
  return ratio >= (aim.atLeast ?? -Infinity) && ratio <= (aim.atMost ?? Infinity);
}

export function aimText(aim: Aim | null): string {
  if (aim === null) return '';
  return aim.atLeast === undefined ? `<= ${aim.atMost ?? ''}` : `>= ${aim.atLeast}`;
}
