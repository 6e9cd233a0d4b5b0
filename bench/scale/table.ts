/** One figure. */
export interface Measure {
  readonly workloads: number;
  readonly agents: number;
  readonly phase: string;
  /** Which agents, or whose figure. */
  readonly who: string;
  readonly metric: string;
  readonly value: number;
}

interface Aim {
  readonly metric: RegExp;
  readonly atMost: number;
  /** Holds for every phase that matches. */
  readonly phase: RegExp;
}

/** What issue and design ask for on two cores; they are stated for 100,000 workloads and 100 agents, and hold below. */
const aims: readonly Aim[] = [
  { phase: /./, metric: /^memory( at most)?, MiB$/, atMost: 1024 },
  { phase: /^change/, metric: /p99, ms$/, atMost: 150 },
  { phase: /^reconnect/, metric: /^resources sent again$/, atMost: 0 },
  { phase: /^agent$/, metric: /^more memory/, atMost: 60 },
];
const lagAim = 20;

export function aimOf({ phase, metric }: Pick<Measure, 'phase' | 'metric'>): number | null {
  if (metric === 'loop lag p99, ms') return lagAim;
  return aims.find((aim) => aim.phase.test(phase) && aim.metric.test(metric))?.atMost ?? null;
}

/** Plain text, columns aligned; figures beside their aims. */
export function formatTable(measures: readonly Measure[]): string {
  const head = ['workloads', 'agents', 'phase', 'who', 'metric', 'value', 'aim', ''];
  const rows = [head, ...measures.map(formatRow)];
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const isText = (column: number): boolean => column >= 2 && column <= 4;
  const pad = (cell: string, column: number): string =>
    isText(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

function formatRow(measure: Measure): readonly string[] {
  const { workloads, agents, phase, who, metric, value } = measure;
  const aim = aimOf(measure);
  const verdict = aim === null ? '' : value <= aim ? 'reached' : 'missed';
  const limit = aim === null ? '' : `<= ${aim}`;
  return [String(workloads), String(agents), phase, who, metric, formatValue(value), limit, verdict];
}

function formatValue(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en-US');
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}
