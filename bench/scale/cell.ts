import { join } from 'node:path';
import type { AgentCommands } from './agent-process.ts';
import type { AgentKind, AgentsCommands, Population } from './agents-process.ts';
import { Child } from './child.ts';
import type { ControlCommands, Started } from './control-process.ts';
import { quantile } from './quantile.ts';
import { nodeName, podUid, serviceAddress } from './synthetic-mesh.ts';
import type { Measure } from './table.ts';

export interface CellSize {
  readonly workloads: number;
  readonly agents: number;
}

/** As many pods as a node usually carries. */
const podsPerNode = 100;
/** So many full replicas of the mesh are cheap enough to be kept: beyond, agents count instead of decoding. */
const mostReplicated = 250_000;
/** What an agent that asks for what it needs is made to need. */
const demandedServices = 20;
const destinationsOfOneAgent = 200;
const changes = 100;
const mebibyte = 2 ** 20;

/** The variable is for trying flags of the runtime, and for profiles. */
const controlFlags = ['--expose-gc', ...(process.env['AMBIT_BENCH_CONTROL_FLAGS']?.split(' ') ?? [])];
/** Holds many replicas. */
const agentsFlags = ['--max-old-space-size=8192'];

/** One control plane over one mesh: what it costs by itself, with agents that keep everything, and with such that ask. */
export class Cell {
  readonly size: CellSize;
  readonly #progress: (text: string) => void;
  readonly #control = new Child<ControlCommands>('control-process.ts', controlFlags);

  constructor(size: CellSize, progress: (text: string) => void) {
    this.size = size;
    this.#progress = progress;
  }

  async measure(): Promise<readonly Measure[]> {
    const { workloads, agents } = this.size;
    const nodes = Math.max(agents, Math.ceil(workloads / podsPerNode));
    try {
      this.#say(`control starts over ${nodes} nodes`);
      const started = await this.#control.order('start', { workloads, nodes });
      const start = await this.#measureStart(started);
      const kind = workloads * agents <= mostReplicated ? 'full' : 'light';
      return [
        ...start,
        ...(await this.#measurePopulation(kind, agents, started)),
        ...(await this.#measurePopulation('on demand', agents, started)),
        ...(await this.#measureMemory()),
      ];
    } finally {
      await this.#control.order('stop', undefined).catch(() => undefined);
      await this.#control.stop();
    }
  }

  /** Memory of one agent that asks for what it needs, bytes, and how many addresses it holds. */
  async measureAgent(): Promise<{ readonly resident: number; readonly heap: number; readonly resources: number }> {
    const { workloads } = this.size;
    const nodes = Math.max(1, Math.ceil(workloads / podsPerNode));
    const agent = new Child<AgentCommands>('agent-process.ts', ['--expose-gc']);
    try {
      this.#say('one agent of its own, on demand');
      const { port, rootFile, tokenFolder } = await this.#control.order('start', { workloads, nodes });
      const tokenFile = join(tokenFolder, `${nodeName(0)}.token`);
      await agent.order('start', { node: nodeName(0), port, rootFile, tokenFile });
      const count = workloads === 0 ? 0 : destinationsOfOneAgent;
      const destinations = Array.from({ length: count }, (_, service) => serviceAddress(service));
      const { memory, resources } = await agent.order('demand', { pod: podUid(0), destinations });
      await agent.order('stop', undefined);
      return { resident: memory.resident, heap: memory.heap, resources };
    } finally {
      await agent.stop();
      await this.#control.order('stop', undefined).catch(() => undefined);
      await this.#control.stop();
    }
  }

  async #measureStart({ seconds }: Started): Promise<readonly Measure[]> {
    const { lag, cpu } = await this.#control.order('usage', undefined);
    const { resident, heap } = await this.#control.order('memory', undefined);
    return this.#rows('start', 'control alone', {
      'until it serves, s': seconds,
      'CPU, s': cpu,
      'memory, MiB': resident / mebibyte,
      'heap in use, MiB': heap / mebibyte,
      'loop lag p99, ms': lag.p99,
      'loop lag at most, ms': lag.longest,
    });
  }

  async #measurePopulation(kind: AgentKind, count: number, started: Started): Promise<readonly Measure[]> {
    const agents = new Child<AgentsCommands>('agents-process.ts', agentsFlags);
    try {
      const name = populationName(kind);
      return [
        ...(await this.#measureSync(agents, population(kind, count, started), name)),
        ...(await this.#measureChanges(count, name)),
        ...(await this.#measureReconnect(agents, name)),
      ];
    } finally {
      await agents.stop();
    }
  }

  async #measureSync(agents: Child<AgentsCommands>, all: Population, name: string): Promise<readonly Measure[]> {
    this.#say(`${all.nodes.length} agents, ${name}: sync`);
    const { seconds, resources, states } = await agents.order('connect', all);
    const { lag, cpu, traffic } = await this.#control.order('usage', undefined);
    if (states !== 1) throw new Error(`agents that should hold the same hold ${states} different states`);
    return this.#rows('first sync of all', name, {
      'until all are in sync, s': seconds,
      resources,
      'sent, MiB': traffic.sent / mebibyte,
      'CPU, s': cpu,
      'loop lag p99, ms': lag.p99,
      'loop lag at most, ms': lag.longest,
    });
  }

  async #measureChanges(clients: number, name: string): Promise<readonly Measure[]> {
    this.#say(`${clients} agents, ${name}: ${changes} changes of one endpoint`);
    const pods = Math.min(this.size.workloads, demandedServices * 10);
    const taken = [...(await this.#control.order('change', { times: changes, clients, pods }))];
    const { lag } = await this.#control.order('usage', undefined);
    const sorted = taken.sort((left, right) => left - right);
    return this.#rows('change of an endpoint', name, {
      'to the last ACK p50, ms': quantile(sorted, 0.5),
      'to the last ACK p99, ms': quantile(sorted, 0.99),
      'loop lag p99, ms': lag.p99,
      'loop lag at most, ms': lag.longest,
    });
  }

  async #measureReconnect(agents: Child<AgentsCommands>, name: string): Promise<readonly Measure[]> {
    this.#say(`${name}: all connections are cut`);
    await agents.order('expectReconnect', undefined);
    await this.#control.order('cut', undefined);
    const { seconds, resources } = await agents.order('result', undefined);
    const { lag, cpu, traffic } = await this.#control.order('usage', undefined);
    return this.#rows('reconnect of all', name, {
      'until all are in sync, s': seconds,
      'resources sent again': resources,
      'received, MiB': traffic.received / mebibyte,
      'sent, MiB': traffic.sent / mebibyte,
      'CPU, s': cpu,
      'loop lag p99, ms': lag.p99,
      'loop lag at most, ms': lag.longest,
    });
  }

  async #measureMemory(): Promise<readonly Measure[]> {
    const { resident, highest, heap } = await this.#control.order('memory', undefined);
    return this.#rows('end', 'control', {
      'memory, MiB': resident / mebibyte,
      'memory at most, MiB': highest / mebibyte,
      'heap in use, MiB': heap / mebibyte,
    });
  }

  #rows(phase: string, who: string, values: Readonly<Record<string, number>>): readonly Measure[] {
    return Object.entries(values).map(([metric, value]) => ({ ...this.size, phase, who, metric, value }));
  }

  #say(text: string): void {
    this.#progress(`${this.size.workloads} workloads: ${text}`);
  }
}

function populationName(kind: AgentKind): string {
  if (kind === 'full') return 'wildcard, decoded and kept';
  return kind === 'light' ? 'wildcard, counted only' : `on demand, ${demandedServices} services`;
}

function population(kind: AgentKind, count: number, started: Started): Population {
  const names = Array.from({ length: demandedServices }, (_, service) => `/${serviceAddress(service)}`);
  return { kind, nodes: Array.from({ length: count }, (_, node) => node), names, ...started };
}
