/** `make soak`: load on a mesh in the test cluster for a time; what its parts hold must stay level. */

import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';

import { Cluster } from '../harness/cluster.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { growthIn, growthText } from './growth.ts';
import { takeSample } from './holdings.ts';
import type { Sample } from './holdings.ts';
import { Load } from './load.ts';

const samplesWanted = 60;
/** Of all turns. A mesh that nobody hears of is not known to work. */
const mostUnheard = 0.02;

async function watch(cluster: Cluster, mesh: InstalledMesh, minutes: number): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  const pause = (minutes * 60_000) / samplesWanted;
  while (samples.length < samplesWanted) {
    await delay(pause);
    const sample = await takeSample(cluster, mesh);
    samples.push(sample);
    const texts = [...sample].map(
      ([part, held]) => `${part} ${held.memoryMiB.toFixed(0)} MiB, ${held.descriptors} fds, ${held.mapEntries} entries`,
    );
    console.log(`${samples.length}/${samplesWanted}: ${texts.join('; ')}`);
  }
  return samples;
}

async function main(minutes: number): Promise<boolean> {
  const cluster = await Cluster.attach();
  const mesh = await InstalledMesh.ensure(cluster);
  const load = await Load.start(cluster);
  const end = new AbortController();
  const running = load.run(end.signal);
  try {
    // A load that fails ends the watch: a mesh without traffic is always level.
    const samples = await Promise.race([watch(cluster, mesh, minutes), running.then(() => [])]);
    const growth = growthIn(samples);
    const { turns, failures, unheard } = load;
    console.log(`${growthText(growth)}\n${turns} turns of clients, ${failures} kinds of failures, ${unheard} unheard`);
    return failures === 0 && unheard <= turns * mostUnheard && !growth.some(({ tooMuch }) => tooMuch);
  } finally {
    end.abort();
    await running.catch(() => undefined);
    await load.remove();
  }
}

const minutes = Number(process.argv[2] ?? 30);
if (!(minutes > 0)) throw new RangeError(`${process.argv[2] ?? ''} is no number of minutes`);
process.exitCode = (await main(minutes)) ? 0 : 1;
