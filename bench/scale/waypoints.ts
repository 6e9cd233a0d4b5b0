/**
 * One waypoint with many services and routes: how long from a changed document until requests through a real Envoy are treated as
 * it says, and what that costs. `node --expose-gc dist/bench/scale/waypoints.js [SERVICES [ROUTES_EACH [CHANGES]]]`
 */

import { loadavg } from 'node:os';
import process from 'node:process';
import { setTimeout } from 'node:timers/promises';
import type { Manifest } from '../../test/support/manifests.ts';
import { WaypointRig } from '../../test/support/waypoint-rig.ts';
import { measureMemory } from './memory.ts';
import { quantile } from './quantile.ts';
import { denial, endpoint, redirect, service, serviceAddress, waypointDocuments } from './waypoint-documents.ts';
import { WaypointSite } from './waypoint-site.ts';
import type { Spent } from './waypoint-site.ts';

/** p99 of the time from a change to its effect. Milliseconds. */
const aim = 300;
const mebibyte = 1024 * 1024;
const [services = 1000, routesEach = 5, changes = 40] = process.argv.slice(2).map(Number);

function say(what: string, figures: string): void {
  console.log(`${what.padEnd(34)} ${figures}   load ${(loadavg()[0] ?? 0).toFixed(1)}`);
}

function quantiles(times: readonly number[]): string {
  const sorted = times.toSorted((left, right) => left - right);
  const [median, late] = [0.5, 0.99].map((share) => quantile(sorted, share).toFixed(1).padStart(7));
  return `p50 ${median} ms   p99 ${late} ms`;
}

async function measure(
  site: WaypointSite,
  what: string,
  change: (index: number) => Promise<() => Promise<boolean>>,
): Promise<void> {
  const before = await site.spent();
  const times: number[] = [];
  for (let index = 0; index < changes; index++) {
    const from = performance.now();
    const isSeen = await change(index);
    // More often would take from the control plane, whose process this is.
    while (!(await isSeen())) await setTimeout(5);
    times.push(performance.now() - from);
  }
  const late = quantile(
    times.toSorted((left, right) => left - right),
    0.99,
  );
  say(what, `${quantiles(times)}   aim p99 <= ${aim} ms: ${late <= aim ? 'reached' : 'missed'}`);
  console.log(`${' '.repeat(34)} ${share(before, await site.spent())}`);
}

/** Of each change. */
function share(before: Spent, after: Spent): string {
  const each = (seconds: number): string => `${((seconds * 1000) / changes).toFixed(1)} ms`;
  const answers = [...after.acknowledging].map(([type, sum]): [string, number] => [
    type,
    sum - (before.acknowledging.get(type) ?? 0),
  ]);
  const told = answers.filter(([, sum]) => sum > 0).map(([type, sum]) => `${type} ${each(sum)}`);
  return [
    `deriving ${each(after.deriving - before.deriving)}`,
    `answers of Envoy: ${told.join(', ')}`,
    `CPU here ${each(after.here - before.here)}, Envoy ${each(after.envoy - before.envoy)}`,
  ].join('; ');
}

async function measureChanges(site: WaypointSite): Promise<void> {
  const { manifests } = site.control;
  const kept = await site.open(serviceAddress(0));
  await measure(site, 'a route', async (index) => {
    await manifests.write('route', [redirect(0, `host-${index}.example`)]);
    return async () => (await kept.ask('/moved'))?.headers.get('location')?.includes(`host-${index}.`) === true;
  });
  await measure(site, 'a policy', async (index) => {
    await manifests.write('policy', [denial(0, `/moved/${index}`)]);
    return async () => (await kept.ask(`/moved/${index}`))?.status === 403;
  });
  kept.close();
  await measure(site, 'an endpoint, until the answer', async (index) => {
    const known = await site.endpoints();
    await manifests.write('endpoint', [endpoint(index)]);
    return async () => (await site.endpoints()) !== known;
  });
  await measureServices(site);
}

async function measureServices(site: WaypointSite): Promise<void> {
  const { manifests } = site.control;
  // One more than is asked: an empty file is taken for one that is being written.
  const more = (count: number): Promise<void> =>
    manifests.write(
      'services',
      Array.from({ length: count + 1 }, (_, index) => service(services + changes - index)),
    );
  const answers = async (index: number): Promise<boolean> =>
    (await site.askAnew(serviceAddress(services + changes - index))) !== null;
  await measure(site, 'a new service', async (index) => {
    await more(index + 1);
    return () => answers(index + 1);
  });
  await measure(site, 'a service that goes', async (index) => {
    await more(changes - 1 - index);
    return async () => !(await answers(changes - index));
  });
}

async function measureEnvoy(documents: readonly Manifest[]): Promise<void> {
  const from = performance.now();
  const site = await WaypointSite.start(documents);
  try {
    say('a control plane, then an Envoy', `started after ${(performance.now() - from).toFixed(0)} ms`);
    await site.inSync(services);
    say('', `in sync after ${(performance.now() - from).toFixed(0)} ms`);
    await sayMemory(site);
    await measureChanges(site);
    await sayMemory(site);
  } finally {
    await site.stop();
  }
}

async function sayMemory(site: WaypointSite): Promise<void> {
  const { resident, heap, buffers } = measureMemory();
  const [here, live, envoy] = [resident, heap + buffers, await site.envoyMemory()].map((bytes) =>
    (bytes / mebibyte).toFixed(0),
  );
  say('memory', `control ${here} MiB, of that live ${live}; Envoy ${envoy} MiB`);
}

/** Derived, built and encoded, without files, streams and Envoy. */
function measureControl(documents: readonly Manifest[]): void {
  const rig = new WaypointRig(...documents);
  const time = (what: string, document: (index: number) => Manifest): void => {
    const times = Array.from({ length: changes }, (_, index) => {
      const from = performance.now();
      rig.set(document(index));
      return performance.now() - from;
    });
    say(`control alone: ${what}`, quantiles(times));
  };
  time('a route', (index) => redirect(0, `host-${index}.example`));
  time('a policy', (index) => denial(0, `/moved/${index}`));
  time('an endpoint', endpoint);
  time('a new service', (index) => service(services + index));
}

console.log(`one waypoint, ${services} services of ${routesEach} routes each, ${changes} changes of a kind`);
const documents = waypointDocuments(services, routesEach);
await measureEnvoy(documents);
measureControl(documents);
