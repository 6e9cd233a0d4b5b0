/**
 * Values that stand for themselves. Objects that are built of them are templates of a chart, so chart and command line cannot
 * differ: both are what the same functions build.
 */

const open = '⟦';
const close = '⟧';

/** All values as placeholders: groups stay groups, everything else becomes a text that names its path. */
export function symbolicValues<T extends object>(defaults: T, path = ''): T {
  const entries = Object.entries(defaults).map(([name, value]: [string, unknown]) => {
    const at = path === '' ? `.Values.${name}` : `${path}.${name}`;
    return [name, isGroup(value) ? symbolicValues(value, at) : open + at + close];
  });
  // What has the type of a number or a list is a text here; builders only put it into objects, or use the functions below.
  return Object.fromEntries(entries) as T;
}

/** A text, or what Helm has for it where the text is empty. */
export function textOr(text: string, fallback: string, helmFallback: string): string {
  if (isSymbol(text)) return pipe(text, `default ${helmFallback}`);
  return text === '' ? fallback : text;
}

/** A number as text, such as an environment variable must have it. */
export function asText(value: number): string {
  return isSymbol(value) ? pipe(value, 'toString') : String(value);
}

export function joined(list: readonly string[]): string {
  return isSymbol(list) ? pipe(list, 'join ","') : list.join(',');
}

/** What a user gives as a whole, as text. */
export function asJson(value: object): string {
  return isSymbol(value) ? pipe(value, 'toJson') : JSON.stringify(value, sortedFields);
}

/** As Helm's `toJson` writes them. */
function sortedFields(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1)));
}

export function plus(value: number, more: number): number {
  // A text in a template, where only the place counts.
  return isSymbol(value) ? (pipe(value, `add ${more}`) as unknown as number) : value + more;
}

/** The namespace of the installation, as Helm knows it. */
export const releaseNamespace = `${open}.Release.Namespace${close}`;

/** YAML of an object that was built of placeholders → template. */
export function toTemplate(yaml: string): string {
  const alone = new RegExp(`^(\\s*(?:- )*(?:[^\\s:"']+: )?)["']?${open}([^${close}]+)${close}["']?$`, 'gm');
  const within = new RegExp(`${open}([^${close}]+)${close}`, 'g');
  return yaml
    .replace(alone, (_match, before: string, value: string) => `${before}{{ ${unescaped(value)} | toJson }}`)
    .replace(within, (_match, value: string) => `{{ ${unescaped(value)} }}`);
}

function pipe(symbol: unknown, filter: string): string {
  return `${String(symbol).slice(0, -close.length)} | ${filter}${close}`;
}

/** Quotes of an expression, where YAML has put the text into quotes itself. */
function unescaped(value: string): string {
  return value.replaceAll('\\"', '"');
}

function isSymbol(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith(open) && value.endsWith(close);
}

/** Lists, and what a user gives as a whole, are one value. */
function isGroup(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !('requests' in value);
}
