import 'reflect-metadata';
import { EventEmitter } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent } from '../../src/agent/agent.ts';
import { resolveAgentSettings } from '../../src/config/settings.ts';
import { Logging } from '../../src/telemetry/logger.ts';
import { createAgentMetrics } from '../../src/telemetry/metrics.ts';
import { systemTimers } from '../../src/timing/timers.ts';
import type { ControlHarness } from './control.ts';
import { fakeNative } from './fake-engine.ts';
import type { FakeEngine } from './fake-engine.ts';
import { waitFor } from './wait.ts';

/** An agent of one node in this process, fed by a control plane over TLS. Its engine is a fake: nothing is captured. */
export class ControlledAgent {
  readonly node: string;
  readonly engine: () => FakeEngine;
  readonly #folder: string;
  readonly #events = new EventEmitter();
  readonly #agent: Agent;
  readonly #run: Promise<void>;

  /** @returns once the engine serves so many pods; `stop` has to follow */
  static async start(control: ControlHarness, node: string, pods: number): Promise<ControlledAgent> {
    const folder = await mkdtemp(join(tmpdir(), 'ambit-agent-'));
    await writeFile(join(folder, 'token'), await control.token({ node }));
    await writeFile(join(folder, 'root.pem'), control.roots);
    const agent = new ControlledAgent(control, node, folder);
    const served = (): boolean => agent.engine().pods.size === pods;
    await Promise.race([waitFor(served, { what: `the pods of ${node}` }), agent.#run]);
    return agent;
  }

  private constructor(control: ControlHarness, node: string, folder: string) {
    this.node = node;
    this.#folder = folder;
    const { native, engine } = fakeNative();
    this.engine = engine;
    const files = {
      stateDir: join(folder, 'state'),
      tokenFile: join(folder, 'token'),
      rootFile: join(folder, 'root.pem'),
    };
    const ports = { adminPort: '0', metricsPort: '0', readinessPort: '0' };
    const flags = { node, control: `127.0.0.1:${control.ports.xds}`, ...files, ...ports };
    this.#agent = new Agent({
      settings: resolveAgentSettings(flags, {}),
      version: 'test',
      logging: new Logging({ level: 'error', format: 'json', destination: { write: () => undefined } }),
      metrics: createAgentMetrics('test'),
      timers: systemTimers,
      random: Math.random,
      host: {
        mounts: () => Promise.resolve([{ device: '0:1', root: '/', point: '/sys/fs/cgroup', type: 'cgroup2' }]),
        mountNamespace: () => Promise.resolve('1'),
        mountBpffs: () => Promise.resolve(),
      },
      native,
      events: this.#events,
      nodeMetadata: {},
      credentials: null,
      cluster: null,
    });
    this.#run = this.#agent.run();
  }

  /** Address of the admin pages. */
  async admin(): Promise<string> {
    const port = await this.#agent.adminPort;
    return `http://127.0.0.1:${String(port)}`;
  }

  async stop(): Promise<void> {
    this.#events.emit('SIGTERM', 'SIGTERM');
    await this.#run;
    await rm(this.#folder, { recursive: true, force: true });
  }
}
