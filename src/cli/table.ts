/** Between columns, as Istio's tools have it: scripts cut these tables by it. */
const gap = 5;

/** Columns under their headings; the last one ends where its text does. */
export function describeTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)) + gap);
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('')
      .trimEnd();
  return all.map((row) => `${line(row)}\n`).join('');
}
