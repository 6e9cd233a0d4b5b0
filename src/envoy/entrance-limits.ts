import type { Entrance } from './entrances.ts';

/** How much may be asked of those who connect, before the listener of a waypoint gets too large, in single facts. */
export interface EntranceLimits {
  /** By one service, or by workloads that are called alike. */
  readonly each: number;
  readonly all: number;
}

export const entranceLimits: EntranceLimits = { each: 4_096, all: 65_536 };

export interface LimitedEntrances {
  readonly entrances: readonly Entrance[];
  /** Which of them ask more than there is room for: nobody may connect there. */
  readonly closed: ReadonlySet<Entrance>;
}

/** What asks too much is closed, and takes no room of what comes later. */
export function withinLimits(
  entrances: readonly Entrance[],
  { each, all }: EntranceLimits = entranceLimits,
): LimitedEntrances {
  let left = all;
  const closed = new Set<Entrance>();
  for (const entrance of entrances) {
    if (entrance.asked > Math.min(each, left)) closed.add(entrance);
    else left -= entrance.asked;
  }
  return { entrances: entrances.map((entrance) => (closed.has(entrance) ? refusing(entrance) : entrance)), closed };
}

function refusing(entrance: Entrance): Entrance {
  return { ...entrance, branch: entrance.refusing, asked: 0, size: entrance.size - entrance.asked };
}
