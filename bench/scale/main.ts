/**
 * `make bench-scale`: one control plane, a made-up mesh, and agents that speak to it over loopback.
 *
 * `main.js [quick|full|WORKLOADSxAGENTS…]`
 */

import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { root } from '../../test/support/paths.ts';
import { Cell } from './cell.ts';
import type { CellSize } from './cell.ts';
import { formatTable } from './table.ts';
import type { Measure } from './table.ts';

const presets: Readonly<Record<string, readonly string[]>> = {
  quick: ['1000x10', '10000x10'],
  full: ['1000x10', '10000x1', '10000x10', '10000x100', '100000x1', '100000x10', '100000x100'],
};
const mebibyte = 2 ** 20;

function progress(text: string): void {
  process.stderr.write(`==> ${text}\n`);
}

/** @throws Error where it is neither a preset nor a size */
function sizesOf(argument: string): readonly CellSize[] {
  const preset = presets[argument];
  if (preset !== undefined) return preset.flatMap(sizesOf);
  const [, workloads, agents] = /^([1-9]\d{0,6})x([1-9]\d{0,3})$/.exec(argument) ?? [];
  if (workloads === undefined || agents === undefined) {
    throw new Error(`bench-scale: \`${argument}\` is no size; give quick, full or WORKLOADSxAGENTS such as 10000x100`);
  }
  return [{ workloads: Number(workloads), agents: Number(agents) }];
}

/** What an agent that asks for what it needs pays for a mesh that it does not need. */
async function measureAgent(largest: number): Promise<readonly Measure[]> {
  const empty = await new Cell({ workloads: 0, agents: 1 }, progress).measureAgent();
  const full = await new Cell({ workloads: largest, agents: 1 }, progress).measureAgent();
  const values = {
    'memory without a mesh, MiB': empty.resident / mebibyte,
    'more memory, MiB': (full.resident - empty.resident) / mebibyte,
    'more heap in use, MiB': (full.heap - empty.heap) / mebibyte,
    'resources held': full.resources,
  };
  const where = { workloads: largest, agents: 1, phase: 'agent', who: 'on demand, 200 services' };
  return Object.entries(values).map(([metric, value]) => ({ ...where, metric, value }));
}

async function main(argument = 'quick', ...more: readonly string[]): Promise<void> {
  const sizes = [argument, ...more].flatMap(sizesOf);
  const [load = 0] = loadavg();
  const measures: Measure[] = [];
  for (const size of sizes) measures.push(...(await new Cell(size, progress).measure()));
  measures.push(...(await measureAgent(Math.max(...sizes.map(({ workloads }) => workloads)))));
  const [cpu] = cpus();
  const about = {
    date: new Date().toISOString(),
    kernel: release(),
    cores: cpus().length,
    cpu: cpu?.model ?? '',
    load,
  };
  const folder = join(root, 'bench/results');
  await mkdir(folder, { recursive: true });
  const file = join(folder, `scale-${about.date.replaceAll(':', '-')}.json`);
  await writeFile(file, `${JSON.stringify({ ...about, measures }, null, 2)}\n`);
  console.log(`${about.cores} cores, kernel ${about.kernel}, load of the machine before it began ${load.toFixed(1)}`);
  console.log('control, agents and this machine share the cores; lag and CPU are those of control\n');
  console.log(formatTable(measures));
  console.log(`written to ${file}`);
}

await main(...process.argv.slice(2));
