import type { NamedReference } from '../named-reference.ts';
import { namedKinds, parseReference } from './object-reference.ts';
import type { NamedKind, ObjectReference } from './object-reference.ts';

/** Of each kind. */
export interface Bounds {
  readonly inAll: number;
  /** That documents of one namespace name, wherever the objects are. */
  readonly ofNamespace: number;
}

export interface Quota {
  readonly within: ReadonlyMap<string, ObjectReference>;
  readonly beyond: ReadonlySet<string>;
}

interface Asked extends NamedReference {
  readonly reference: ObjectReference;
}

/**
 * Whoever names objects of others uses up nothing of theirs: each counts for the namespace that names it, and what is left in all goes
 * round, one for each namespace at a time. It depends on what is named alone, so that all replicas read the same, and after a start, too.
 * What is no reference is nobody's.
 */
export function withinBounds(references: readonly NamedReference[], bounds: Bounds): Quota {
  const asked = references.flatMap((named): Asked[] => {
    const reference = parseReference(named.object);
    return reference === null ? [] : [{ ...named, reference }];
  });
  const kinds = Object.keys(namedKinds) as NamedKind[];
  const within = new Map(kinds.flatMap((kind) => [...chosen(asked.filter(isOf(kind)), bounds)]));
  return { within, beyond: new Set(asked.map(({ object }) => object).filter((object) => !within.has(object))) };
}

function chosen(asked: readonly Asked[], { inAll, ofNamespace }: Bounds): ReadonlyMap<string, ObjectReference> {
  const ranked = bySpace(asked).flatMap((named) =>
    named
      .toSorted(byPrecedence)
      .slice(0, ofNamespace)
      .map((item, rank) => ({ item, rank })),
  );
  ranked.sort((left, right) => left.rank - right.rank || byPrecedence(left.item, right.item));
  const within = new Map<string, ObjectReference>();
  for (const { item } of ranked) if (within.size < inAll) within.set(item.object, item.reference);
  return within;
}

function bySpace(asked: readonly Asked[]): readonly (readonly Asked[])[] {
  const spaces = new Map<string, Asked[]>();
  for (const item of asked) {
    const known = spaces.get(item.by);
    if (known === undefined) spaces.set(item.by, [item]);
    else known.push(item);
  }
  return [...spaces.values()];
}

function isOf(kind: NamedKind): (asked: Asked) => boolean {
  return ({ reference }) => reference.kind === kind;
}

/** A namespace's own objects, then those that were named first, then by name. */
function byPrecedence(left: Asked, right: Asked): number {
  return (
    Number(isForeign(left)) - Number(isForeign(right)) ||
    (left.since ?? Infinity) - (right.since ?? Infinity) ||
    compare(`${left.object} ${left.by}`, `${right.object} ${right.by}`)
  );
}

function isForeign({ by, reference }: Asked): boolean {
  return by !== reference.namespace;
}

function compare(left: string, right: string): number {
  return left < right ? -1 : Number(left > right);
}
