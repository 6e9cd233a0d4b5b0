/** A whole agent in a process of its own, all but its engine, that asks for addresses on demand. */

import 'reflect-metadata';
import { EventEmitter } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Agent } from '../../src/agent/agent.ts';
import { resolveAgentSettings } from '../../src/config/settings.ts';
import { Logging } from '../../src/telemetry/logger.ts';
import { createAgentMetrics } from '../../src/telemetry/metrics.ts';
import { systemTimers } from '../../src/timing/timers.ts';
import { typeUrls } from '../../src/wds/names.ts';
import { fakeNative } from '../../test/support/fake-engine.ts';
import { waitFor } from '../../test/support/wait.ts';
import { obey } from './child.ts';
import { measureMemory } from './memory.ts';
import type { Memory } from './memory.ts';

export interface AgentStart {
  readonly node: string;
  readonly port: number;
  readonly rootFile: string;
  readonly tokenFile: string;
}

export interface Demand {
  /** UID of the pod that asks. */
  readonly pod: string;
  readonly destinations: readonly string[];
}

export interface DemandResult {
  readonly memory: Memory;
  /** Resources that the agent holds by then. */
  readonly resources: number;
}

const events = new EventEmitter();
const metrics = createAgentMetrics('bench');
const { native, engine } = fakeNative();
/** New addresses of one pod come at 100 a second. */
const demandInterval = 12;
const settling = 2000;
/** Removed at the end of the process, however that comes. */
let folder = '';
let running: Promise<void> = Promise.resolve();

async function start({ node, port, rootFile, tokenFile }: AgentStart): Promise<void> {
  folder = await mkdtemp(join(tmpdir(), 'ambit-scale-agent-'));
  const ports = { adminPort: '0', metricsPort: '0', readinessPort: '0' };
  const control = { control: `127.0.0.1:${port}`, rootFile, tokenFile, controlName: 'localhost', caName: 'localhost' };
  const agent = new Agent({
    settings: resolveAgentSettings({ node, stateDir: folder, xdsOnDemand: 'true', ...control, ...ports }, {}),
    version: 'bench',
    logging: new Logging({ level: 'error', format: 'json', destination: process.stderr }),
    metrics,
    timers: systemTimers,
    random: Math.random,
    host: {
      mounts: () => Promise.resolve([{ device: '0:1', root: '/', point: '/sys/fs/cgroup', type: 'cgroup2' }]),
      mountNamespace: () => Promise.resolve('1'),
      mountBpffs: () => Promise.resolve(),
    },
    native,
    events,
    nodeMetadata: {},
    credentials: null,
    cluster: null,
  });
  running = agent.run();
  await waitFor(() => engine().calls.includes('start'), { timeout: 60_000, what: 'the start of the engine' });
}

/** Has a pod of the node connect to each destination, once. */
async function demand({ pod, destinations }: Demand): Promise<DemandResult> {
  for (const [id, destination] of destinations.entries()) {
    engine().emit({ kind: 'questions', questions: [{ kind: 'outbound', id, pod, destination, port: 80 }] });
    await setTimeout(demandInterval);
  }
  await waitFor(() => engine().answers.length >= destinations.length, { timeout: 60_000, what: 'all answers' });
  const refused = engine().answers.filter(({ action }) => action === 'deny');
  if (refused.length > 0) throw new Error(`${refused.length} were refused: ${refused[0]?.reason ?? ''}`);
  await setTimeout(settling);
  const { values } = await metrics.xdsResources.get();
  const resources = values.find(({ labels }) => labels['url'] === typeUrls.address)?.value ?? 0;
  return { memory: measureMemory(), resources };
}

async function stop(): Promise<void> {
  events.emit('SIGTERM', 'SIGTERM');
  await running;
}

const agentCommands = { start, demand, stop };
export type AgentCommands = typeof agentCommands;

process.on('exit', () => {
  if (folder !== '') rmSync(folder, { recursive: true, force: true });
});
obey(agentCommands);
