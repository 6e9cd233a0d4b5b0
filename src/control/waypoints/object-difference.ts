import { isDeepStrictEqual } from 'node:util';

/**
 * Everything that is wanted is there; what others have added beside it does not count. Items of a list that have names are found
 * by them, all other lists count as a whole.
 */
export function covers(present: unknown, wanted: unknown): boolean {
  if (isMap(wanted)) {
    return isMap(present) && Object.entries(wanted).every(([name, value]) => covers(present[name], value));
  }
  if (!Array.isArray(wanted)) return isDeepStrictEqual(present, wanted);
  if (!Array.isArray(present)) return wanted.length === 0;
  const items: readonly unknown[] = wanted;
  if (!items.every(isNamed)) {
    return items.length === present.length && items.every((item, index) => covers(present[index], item));
  }
  const known = new Map(present.filter(isNamed).map((item) => [item.name, item]));
  return items.every((item) => covers(known.get(item.name), item));
}

/**
 * An object with somebody's wishes laid over it: maps grow into each other, items of lists that have names, too; any other value
 * takes the place of the one that was there, and null takes it away.
 */
export function overlaid(below: unknown, above: unknown): unknown {
  if (isMap(above)) return overlaidMap(isMap(below) ? below : {}, above);
  if (areNamed(above) && areNamed(below)) return overlaidItems(below, above);
  return above;
}

function overlaidMap(below: Fields, above: Fields): Fields {
  const result: Record<string, unknown> = { ...below };
  for (const [name, value] of Object.entries(above)) {
    if (value === null) Reflect.deleteProperty(result, name);
    else result[name] = overlaid(result[name], value);
  }
  return result;
}

function overlaidItems(below: readonly Named[], above: readonly Named[]): readonly unknown[] {
  const wishes = new Map(above.map((item) => [item.name, item]));
  const known = new Set(below.map(({ name }) => name));
  return [
    ...below.map((item) => overlaid(item, wishes.get(item.name) ?? {})),
    ...above.filter(({ name }) => !known.has(name)),
  ];
}

type Fields = Readonly<Record<string, unknown>>;
type Named = Fields & { readonly name: string };

function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNamed(value: unknown): value is Named {
  return isMap(value) && typeof value['name'] === 'string';
}

function areNamed(value: unknown): value is readonly Named[] {
  return Array.isArray(value) && value.every(isNamed);
}
