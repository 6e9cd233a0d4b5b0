import type { Entrance } from './entrances.ts';

/** How much may be asked of those who connect, before the listener of a waypoint gets too large, in single facts. */
export interface EntranceLimits {
  /** By one service, or by workloads that are called alike. */
  readonly each: number;
  readonly all: number;
}

export const entranceLimits: EntranceLimits = { each: 4_096, all: 65_536 };

/**
 * Which ask more than there is room for: nobody may connect there. The waypoint's own namespace comes first. What it leaves is shared by
 * the others, and what one does not need of its share the rest have, so that none of them can take the room of another.
 *
 * @param entrances of one namespace the first comes first
 * @param own namespace of the waypoint; null: nobody says
 */
export function beyondLimits(
  entrances: readonly Entrance[],
  own: string | null,
  { each, all }: EntranceLimits = entranceLimits,
): ReadonlySet<Entrance> {
  const room = new Room(all);
  const asking = entrances.filter(({ asked }) => asked > 0);
  const possible = asking.filter(({ asked }) => asked <= each);
  const groups = byNamespace(possible, own);
  room.take(groups.get(own) ?? [], all);
  const tenants = [...groups].flatMap(([namespace, members]) => (namespace === own ? [] : [members]));
  const share = shareOf(tenants.map(total), room.left);
  for (const tenant of tenants) room.take(tenant, share);
  // Of what is too large for what is left of a share some may fit into what is left of all.
  room.take(possible, all);
  return new Set(asking.filter((entrance) => !room.has(entrance)));
}

/** The same, of which some are closed. */
export function withClosed(entrances: readonly Entrance[], closed: ReadonlySet<Entrance>): readonly Entrance[] {
  return entrances.map((entrance) => (closed.has(entrance) ? refusing(entrance) : entrance));
}

/** What is taken once is not taken twice, and what does not fit takes no room of what comes later. */
class Room {
  left: number;
  readonly #taken = new Set<Entrance>();

  constructor(size: number) {
    this.left = size;
  }

  has(entrance: Entrance): boolean {
    return this.#taken.has(entrance);
  }

  take(entrances: readonly Entrance[], most: number): void {
    let free = Math.min(most, this.left);
    for (const entrance of entrances) {
      if (entrance.asked > free || this.#taken.has(entrance)) continue;
      this.#taken.add(entrance);
      free -= entrance.asked;
      this.left -= entrance.asked;
    }
  }
}

type Groups = ReadonlyMap<string | null, readonly Entrance[]>;

function byNamespace(entrances: readonly Entrance[], own: string | null): Groups {
  const groups = new Map<string | null, Entrance[]>();
  for (const entrance of entrances) {
    const namespace = entrance.namespace ?? own;
    const known = groups.get(namespace);
    if (known === undefined) groups.set(namespace, [entrance]);
    else known.push(entrance);
  }
  return groups;
}

function total(entrances: readonly Entrance[]): number {
  return entrances.reduce((sum, { asked }) => sum + asked, 0);
}

/** The most that each may have, so that there is room for all of them. @param wanted by each */
function shareOf(wanted: readonly number[], room: number): number {
  let left = room;
  for (const [index, want] of wanted.toSorted((one, other) => one - other).entries()) {
    const share = Math.floor(left / (wanted.length - index));
    if (want > share) return share;
    left -= want;
  }
  return room;
}

function refusing(entrance: Entrance): Entrance {
  return { ...entrance, branch: entrance.refusing, asked: 0, size: entrance.size - entrance.asked };
}
