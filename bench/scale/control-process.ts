/** `ambit control` as it is, over a synthetic mesh, in a process of its own. */

import { EventEmitter } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { controlPlaneSettings } from '../../src/config/control-plane-settings.ts';
import type { DocumentChange, DocumentChanges, MeshInput } from '../../src/config/mesh-input.ts';
import { loadTokenKeys } from '../../src/control/certificates/token-keys.ts';
import { createToken } from '../../src/control/certificates/tokens.ts';
import { Control } from '../../src/control/control.ts';
import { manifestSite } from '../../src/control/manifest-site.ts';
import type { ControlSite } from '../../src/control/site.ts';
import { createControlMetrics } from '../../src/telemetry/control-metrics.ts';
import type { ControlMetrics } from '../../src/telemetry/control-metrics.ts';
import { Logging } from '../../src/telemetry/logger.ts';
import { runInSlices } from '../../src/timing/slices.ts';
import { systemTimers } from '../../src/timing/timers.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { obey } from './child.ts';
import { LoopLag } from './loop-lag.ts';
import type { Lag } from './loop-lag.ts';
import { cpuSeconds, measureMemory } from './memory.ts';
import type { Memory } from './memory.ts';
import { nodeName, SyntheticMesh } from './synthetic-mesh.ts';
import type { MeshSize } from './synthetic-mesh.ts';
import { AcceptedConnections } from './traffic.ts';
import type { Traffic } from './traffic.ts';

export interface Started {
  readonly port: number;
  readonly rootFile: string;
  /** Holds a token for each node. */
  readonly tokenFolder: string;
  readonly seconds: number;
}

/** Since it was asked the last time. */
export interface Usage {
  readonly lag: Lag;
  /** Processor seconds. */
  readonly cpu: number;
  readonly traffic: Traffic;
}

export interface ChangeOrder {
  readonly times: number;
  /** How many clients hold the endpoints that change. */
  readonly clients: number;
  /** The first so many pods change, in turn. */
  readonly pods: number;
}

const acknowledgements = new Acknowledgements();
const connections = new AcceptedConnections();
const lag = new LoopLag();
const events = new EventEmitter();
/** Between two changes, so that each is sent by itself. Milliseconds. */
const pause = 10;
const longestChange = 30_000;
let lastUsage = { cpu: 0, traffic: { received: 0, sent: 0 } };
/** Removed at the end of the process, however that comes. */
let folder = '';
let running: Promise<void> = Promise.resolve();

class SyntheticInput implements MeshInput {
  readonly mesh: SyntheticMesh;
  readonly #unready = new Set<number>();
  #deliver: (changes: DocumentChanges) => void = () => undefined;

  constructor(mesh: SyntheticMesh) {
    this.mesh = mesh;
  }

  async start(deliver: (changes: DocumentChanges) => void): Promise<DocumentChanges> {
    this.#deliver = deliver;
    const documents: DocumentChange[] = [];
    await runInSlices(collect(this.mesh, documents));
    // Making the mesh up is no part of what is measured.
    usage();
    return documents;
  }

  /** Makes the pod an unhealthy endpoint, or a healthy one again. */
  toggle(pod: number): void {
    const ready = this.#unready.delete(pod);
    if (!ready) this.#unready.add(pod);
    this.#deliver([this.mesh.pod(pod, ready)]);
  }
}

function* collect(mesh: SyntheticMesh, documents: DocumentChange[]): Generator<undefined, void> {
  for (const document of mesh.documents()) {
    documents.push(document);
    yield;
  }
}

let input = new SyntheticInput(new SyntheticMesh({ workloads: 0, nodes: 1 }));

async function start(size: MeshSize): Promise<Started> {
  folder = await mkdtemp(join(tmpdir(), 'ambit-scale-'));
  input = new SyntheticInput(new SyntheticMesh(size));
  const began = performance.now();
  const control = newControl();
  running = control.run();
  const ended = running.then(() => Promise.reject(new Error('control has ended')));
  const { xds } = await Promise.race([control.ready, ended]);
  const seconds = (performance.now() - began) / 1000;
  await writeTokens(size.nodes);
  return { port: xds, rootFile: join(folder, 'ca/root-cert.pem'), tokenFolder: folder, seconds };
}

function newControl(): Control {
  const ports = { xdsPort: '0', plaintextPort: '0', metricsPort: '0', debugPort: '0' };
  const paths = { manifests: folder, stateDir: folder };
  const common = {
    settings: controlPlaneSettings.resolve({ ...ports, ...paths, address: '127.0.0.1', connectionAge: '24h' }, {}),
    logging: new Logging({ level: 'error', format: 'json', destination: process.stderr }),
    metrics: noting(createControlMetrics('bench')),
    timers: systemTimers,
  };
  // With another source of documents, which are those of a cluster: agents have written on the pods that they took in.
  const site: ControlSite = { ...manifestSite({ ...common, manifests: folder }), input, captured: 'annotated' };
  return new Control({ ...common, site, version: 'bench', random: Math.random, events });
}

/** ACKs are counted where control itself measures them. */
function noting(metrics: ControlMetrics): ControlMetrics {
  const { acknowledgeSeconds } = metrics;
  const observe = acknowledgeSeconds.observe.bind(acknowledgeSeconds) as (labels: object, seconds: number) => void;
  const noted = (labels: { readonly type: string }, seconds: number): void => {
    observe(labels, seconds);
    if (labels.type === 'Address') acknowledgements.note();
  };
  return { ...metrics, acknowledgeSeconds: Object.assign(acknowledgeSeconds, { observe: noted }) };
}

async function writeTokens(nodes: number): Promise<void> {
  const keys = await loadTokenKeys(folder);
  for (let index = 0; index < nodes; index++) {
    const node = nodeName(index);
    const token = createToken(keys, { node, pod: null, now: Date.now(), lifetime: 3_600_000 });
    await writeFile(join(folder, `${node}.token`), `${token}\n`);
  }
}

/** @returns milliseconds from each change to the last ACK of it */
async function change({ times, clients, pods }: ChangeOrder): Promise<readonly number[]> {
  const taken: number[] = [];
  for (let turn = 0; turn < times; turn++) {
    const all = acknowledgements.next(clients, longestChange);
    const began = performance.now();
    input.toggle(turn % pods);
    await all;
    taken.push(performance.now() - began);
    await setTimeout(pause);
  }
  return taken;
}

function usage(): Usage {
  const now = { cpu: cpuSeconds(), traffic: connections.traffic() };
  const { cpu, traffic } = lastUsage;
  lastUsage = now;
  const received = now.traffic.received - traffic.received;
  return { lag: lag.take(), cpu: now.cpu - cpu, traffic: { received, sent: now.traffic.sent - traffic.sent } };
}

async function memory(): Promise<Memory> {
  const measured = measureMemory();
  // The collection that it asked for was nobody's fault: its stall is noted by the next sample.
  await setTimeout(pause);
  lag.take();
  return measured;
}

function cut(): void {
  connections.cut();
}

async function stop(): Promise<void> {
  events.emit('SIGTERM', 'SIGTERM');
  await running;
}

const controlCommands = { start, change, usage, memory, cut, stop };
export type ControlCommands = typeof controlCommands;

process.on('exit', () => {
  if (folder !== '') rmSync(folder, { recursive: true, force: true });
});
obey(controlCommands);
