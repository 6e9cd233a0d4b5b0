/**
 * One waypoint with many services and routes: how long the control plane takes from a changed document to what its Envoys are
 * sent, and a real Envoy to have acknowledged it. `node dist/bench/scale/waypoints.js [SERVICES [ROUTES_EACH]]`
 */

import { setTimeout } from 'node:timers/promises';
import process from 'node:process';
import type { ClientStatus } from '../../src/control/discovery/discovery-service.ts';
import { certificateRequest } from '../../test/support/certificate-request.ts';
import { ControlHarness } from '../../test/support/control.ts';
import { DiscoveringEnvoy } from '../../test/support/envoy/discovering-envoy.ts';
import type { Manifest } from '../../test/support/manifests.ts';
import { waitFor } from '../../test/support/wait.ts';
import {
  appPod,
  httpRoute,
  httpService,
  waypointGateway,
  waypointNamespace,
  waypointPod,
} from '../../test/support/waypoint-mesh.ts';
import { WaypointRig } from '../../test/support/waypoint-rig.ts';
import { quantile } from './quantile.ts';

const changes = 100;
const envoyChanges = 30;
const aim = 300;

function address(block: number, index: number): string {
  return `10.${block}.${Math.floor(index / 250)}.${(index % 250) + 1}`;
}

function mesh(services: number, routesEach: number): readonly Manifest[] {
  const each = Array.from({ length: services }, (_, index) => [
    httpService('shop', `s${index}`, address(1, index)),
    appPod('shop', `s${index}`, address(0, index)),
    ...Array.from({ length: routesEach }, (_unused, number) => route(index, number, 'first')),
  ]);
  return [waypointNamespace('shop'), waypointGateway('shop'), waypointPod('shop', '10.9.0.1'), ...each.flat()];
}

function route(service: number, number: number, name: string): Manifest {
  const matches = [{ path: { type: 'PathPrefix', value: `/${number}/${name}` } }];
  return httpRoute('shop', `r${service}-${number}`, `s${service}`, `s${service}`, { matches });
}

function report(what: string, times: readonly number[]): void {
  const sorted = times.toSorted((left, right) => left - right);
  const [median, late] = [quantile(sorted, 0.5), quantile(sorted, 0.99)];
  console.log(`${what.padEnd(58)} p50 ${median.toFixed(1).padStart(8)} ms   p99 ${late.toFixed(1).padStart(8)} ms`);
}

function measure(what: string, change: (index: number) => void): void {
  const times = Array.from({ length: changes }, (_, index) => {
    const from = performance.now();
    change(index);
    return performance.now() - from;
  });
  report(what, times);
}

function measureControl(services: number, routesEach: number): void {
  const from = performance.now();
  const rig = new WaypointRig(...mesh(services, routesEach));
  console.log(`first derivation and encoding: ${(performance.now() - from).toFixed(0)} ms`);
  measure('control alone: a route', (index) => {
    rig.set(route(index, 0, `change-${index}`));
  });
  measure('control alone: an endpoint', (index) => {
    rig.set(appPod('shop', `s${index}`, address(2, index)));
  });
  measure('control alone: a service, which changes the listener', (index) => {
    rig.set(httpService('shop', 'new', address(3, index)));
  });
}

async function measureEnvoy(services: number, routesEach: number): Promise<void> {
  const control = await ControlHarness.start(mesh(services, routesEach));
  const { csr, key } = await certificateRequest('spiffe://cluster.local/ns/shop/sa/waypoint');
  const token = await control.token({ pod: 'shop/waypoint-1' });
  const { chain } = await control.certificate({ csr, validityDuration: 3600n }, { token });
  const credentials = { certificate: chain.join(''), key, roots: control.roots };
  const from = performance.now();
  const envoy = await DiscoveringEnvoy.start({ port: control.ports.xds, credentials, cluster: 'shop/waypoint' });
  try {
    const known = async (): Promise<boolean> => (await envoy.names()).routes.length === services;
    await waitFor(known, { what: 'all routes', timeout: 120_000, interval: 100 });
    console.log(`an Envoy has everything after: ${(performance.now() - from).toFixed(0)} ms`);
    const times: number[] = [];
    for (let index = 0; index < envoyChanges; index++) times.push(await timeOf(control, index));
    report(`real Envoy: a route, from the file to the acknowledgement (aim p99 ${aim} ms)`, times);
  } finally {
    await envoy.stop();
    await control.stop();
  }
}

async function timeOf(control: ControlHarness, index: number): Promise<number> {
  const before = await acknowledged(control);
  const from = performance.now();
  await control.manifests.write('change', [route(index, 99, `change-${index}`)]);
  while ((await acknowledged(control)) === before) await setTimeout(1);
  return performance.now() - from;
}

/** Nonce of the last routes that the Envoy has taken. */
async function acknowledged({ debug }: ControlHarness): Promise<string | null> {
  const clients = (await (await fetch(`${debug}/debug/syncz`)).json()) as readonly ClientStatus[];
  const types = clients.flatMap((client) => client.types);
  return types.find(({ type }) => type.endsWith('RouteConfiguration'))?.acknowledged ?? null;
}

const [services = 1000, routesEach = 5] = process.argv.slice(2).map(Number);
console.log(`one waypoint, ${services} services of ${routesEach} routes each`);
measureControl(services, routesEach);
await measureEnvoy(services, routesEach);
