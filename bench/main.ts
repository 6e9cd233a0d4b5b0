/** `make bench` and `make bench-quick`: the same traffic without and with the mesh, in turn, as ratios. */

import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

import { root } from '../test/support/paths.ts';
import { cells } from './cells.ts';
import type { Cell, Effort, Measures, Place } from './cells.ts';
import { closingText, measureClosing } from './closing.ts';
import { measureAgent } from './idle.ts';
import { buildBench, congestionControl } from './site.ts';
import type { Bench } from './site.ts';
import { formatTable, median } from './table.ts';
import type { Row } from './table.ts';
import { upcallAim } from './upcalls.ts';
import type { UpcallMeasure } from './upcalls.ts';

const full: Effort = { seconds: 4, connectionSeconds: 60, repetitions: 3 };
const quick: Effort = { seconds: 1, connectionSeconds: 2, repetitions: 3 };
const places: readonly Place[] = ['same node', 'cross node'];

type Series = Map<string, number[]>;

function progress(text: string): void {
  process.stderr.write(`==> ${text}\n`);
}

async function measureCell(cell: Cell, place: Place, benches: readonly [Bench, Bench], effort: Effort): Promise<Row[]> {
  const repetitions = cell.long && effort.connectionSeconds >= 60 ? 1 : effort.repetitions;
  const series: [Series, Series] = [new Map<string, number[]>(), new Map<string, number[]>()];
  for (let turn = 0; turn < repetitions; turn++) {
    progress(`${place}, ${cell.name}, ${turn + 1} of ${repetitions}`);
    // Without, with, without, with: what the machine does meanwhile meets both alike.
    for (const [index, bench] of benches.entries()) {
      collect(series[index === 0 ? 0 : 1], await cell.measure(bench.sites[place], effort));
    }
  }
  return rowsOf(place, series);
}

function collect(series: Series, measures: Measures): void {
  for (const [metric, value] of Object.entries(measures)) {
    series.set(metric, [...(series.get(metric) ?? []), value]);
  }
}

function rowsOf(place: Place, [without, withMesh]: readonly [Series, Series]): Row[] {
  return [...without].map(([metric, values]) => ({
    place,
    metric,
    without: median(values),
    with: median(withMesh.get(metric) ?? []),
  }));
}

async function measureTraffic(effort: Effort, only: RegExp): Promise<Row[]> {
  const benches: Bench[] = [];
  try {
    progress('building a rig without and one with the mesh');
    const pair = [await remember(benches, false), await remember(benches, true)] as const;
    const rows: Row[] = [];
    const chosen = places.flatMap((place) => cells.map((cell) => ({ cell, place })));
    for (const { cell, place } of chosen.filter(({ cell, place }) => only.test(`${place}, ${cell.name}`)))
      rows.push(...(await measureCell(cell, place, pair, effort)));
    return rows;
  } finally {
    for (const { rig } of benches) await rig.remove();
  }
}

async function remember(benches: Bench[], withMesh: boolean): Promise<Bench> {
  const bench = await buildBench(withMesh);
  benches.push(bench);
  return bench;
}

/** `only` picks cells by `<place>, <name>`, for work on one of them. */
async function main(mode = 'full', only = ''): Promise<void> {
  if (mode !== 'full' && mode !== 'quick')
    throw new Error(`bench: \`${mode}\` is not a mode; give \`full\` or \`quick\``);
  const effort = mode === 'quick' ? quick : full;
  const rows = await measureTraffic(effort, new RegExp(only));
  progress('an idle agent');
  const { idle, upcalls } = await measureAgent(100, mode === 'quick' ? 5 : 30);
  progress('a policy edit under open connections');
  const closing = await measureClosing(mode === 'quick' ? 500 : 5_000);
  const [cpu] = cpus();
  const about = { date: new Date().toISOString(), kernel: release(), cores: cpus().length, cpu: cpu?.model ?? '' };
  const folder = join(root, 'bench/results');
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${about.date.replaceAll(':', '-')}.json`);
  await writeFile(
    file,
    `${JSON.stringify({ ...about, congestionControl, effort, rows, idle, upcalls, closing }, null, 2)}\n`,
  );
  console.log(
    `${about.cores} cores, kernel ${about.kernel}, congestion control ${congestionControl} in every namespace`,
  );
  console.log('streams in Gb/s, rates per second, times in microseconds, ticks of 10 ms of the whole machine\n');
  console.log(formatTable(rows));
  console.table(idle);
  console.log(upcallText(upcalls));
  console.log(closingText(closing));
  console.log(`written to ${file}`);
}

function upcallText({ questions, roundTrip, decision }: UpcallMeasure): string {
  const verdict = roundTrip.p50 <= upcallAim ? 'reached' : 'missed';
  return (
    `${questions} upcalls on an idle loop, at most: p50 ${roundTrip.p50} µs (aim <= ${upcallAim}: ${verdict}), ` +
    `p99 ${roundTrip.p99} µs; the decision alone p50 ${decision.p50} µs, p99 ${decision.p99} µs`
  );
}

await main(...process.argv.slice(2));
