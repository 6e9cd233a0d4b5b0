import { aimOf, aimText, isReached } from './aims.ts';
import type { Place } from './cells.ts';

/** One metric at one place, medians without and with the mesh. */
export interface Row {
  readonly place: Place;
  readonly metric: string;
  readonly without: number;
  readonly with: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new RangeError('the median of nothing');
  return middle;
}

export function ratio(row: Row): number {
  return row.without === 0 ? NaN : row.with / row.without;
}

/** Plain text; columns are aligned. */
export function formatTable(rows: readonly Row[]): string {
  const head = ['place', 'metric', 'no mesh', 'mesh', 'ratio', 'aim', ''];
  const body = rows.map((row) => formatRow(row));
  const widths = head.map((_, column) => Math.max(...[head, ...body].map((cells) => (cells[column] ?? '').length)));
  const pad = (cell: string, column: number): string => {
    const width = widths[column] ?? 0;
    return column < 2 ? cell.padEnd(width) : cell.padStart(width);
  };
  return [head, ...body].map((cells) => cells.map(pad).join('  ').trimEnd()).join('\n');
}

function formatRow(row: Row): string[] {
  const aim = aimOf(row.place, row.metric);
  const factor = ratio(row);
  const verdict = aim === null ? '' : isReached(aim, factor) ? 'reached' : 'missed';
  return [row.place, row.metric, number(row.without), number(row.with), number(factor), aimText(aim), verdict];
}

function number(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
}
