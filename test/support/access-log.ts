import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

/** One line of the access log: ztunnel's field names with their values. */
export type AccessLine = Readonly<Record<string, unknown>>;
export type AccessQuery = Readonly<Record<string, string | number | RegExp>>;

/** Lines of a JSON access log; a last line that is still being written is left out. */
export async function readAccessLog(path: string): Promise<AccessLine[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return '';
    throw error;
  });
  const complete = text.slice(0, text.lastIndexOf('\n') + 1);
  return complete
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AccessLine);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

export function findLines(lines: readonly AccessLine[], query: AccessQuery): AccessLine[] {
  return lines.filter((line) => Object.entries(query).every(([field, wanted]) => fieldFits(line[field], wanted)));
}

function fieldFits(value: unknown, wanted: string | number | RegExp): boolean {
  return wanted instanceof RegExp ? wanted.test(textOf(value)) : value === wanted;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '');
}

export function assertLine(lines: readonly AccessLine[], query: AccessQuery): AccessLine {
  const [found] = findLines(lines, query);
  const shown = lines.slice(-10).map((line) => JSON.stringify(line));
  const wanted = Object.entries(query).map(([field, value]) => `${field}=${String(value)}`);
  assert.ok(found, `no access-log line with ${wanted.join(' ')}; the last ones are\n  ${shown.join('\n  ')}`);
  return found;
}
