import { isDeepStrictEqual } from 'node:util';

/** Fields that change with every write, or by the writing itself. */
const bookkeeping = new Set(['managedFields', 'resourceVersion', 'generation']);
const MOST_PATHS = 10;

/** Paths at which two versions of an object differ, bookkeeping left out; the first ten. */
export function differences(left: object, right: object): readonly string[] {
  return pathsOf(withoutBookkeeping(left), withoutBookkeeping(right), '').slice(0, MOST_PATHS);
}

/** Without the status, which controllers write. */
function withoutBookkeeping(object: object): object {
  const { metadata = {}, ...rest } = object as { readonly metadata?: object };
  const kept = Object.entries(metadata).filter(([name]) => !bookkeeping.has(name));
  const fields = Object.entries(rest).filter(([name]) => name !== 'status');
  return { ...Object.fromEntries(fields), metadata: Object.fromEntries(kept) };
}

function pathsOf(left: unknown, right: unknown, path: string): readonly string[] {
  if (isDeepStrictEqual(left, right)) return [];
  if (!isObject(left) || !isObject(right) || Array.isArray(left) !== Array.isArray(right)) return [path];
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...names].flatMap((name) => {
    const step = Array.isArray(left) ? `[${name}]` : `.${name}`;
    return pathsOf(Reflect.get(left, name), Reflect.get(right, name), path + step);
  });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
