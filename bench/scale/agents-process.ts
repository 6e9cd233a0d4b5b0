import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createAgentMetrics } from '../../src/telemetry/metrics.ts';
import { systemTimers } from '../../src/timing/timers.ts';
import { callMetadata, openChannel } from '../../src/xds/channel.ts';
import type { ControlAccess } from '../../src/xds/channel.ts';
import type { NodeIdentity } from '../../src/xds/delta-session.ts';
import { MeshReplica } from '../../src/xds/mesh-replica.ts';
import { XdsClient } from '../../src/xds/xds-client.ts';
import { silentLogger } from '../../test/support/loggers.ts';
import { meshSettings } from '../../test/support/mesh-builders.ts';
import { obey } from './child.ts';
import { LightAgent, SharedVersions } from './light-agent.ts';
import { nodeName } from './synthetic-mesh.ts';

/** `full`: an agent's own client, all decoded and kept. `light`: counts. `on demand`: as `full`, for the names given. */
export type AgentKind = 'full' | 'light' | 'on demand';

export interface Population {
  readonly kind: AgentKind;
  /** Numbers of the nodes whose agents these are. */
  readonly nodes: readonly number[];
  readonly port: number;
  readonly rootFile: string;
  readonly tokenFolder: string;
  /** For `on demand`. */
  readonly names: readonly string[];
}

export interface SyncResult {
  readonly seconds: number;
  /** That came since the last result, over all agents. */
  readonly resources: number;
  /** How many different states the agents hold: 1 if all have the same. */
  readonly states: number;
}

interface SimulatedAgent {
  /** What tells its state from another's. */
  fingerprint(): string;
}

const agents: SimulatedAgent[] = [];
const metrics = createAgentMetrics('bench');
const shared = new SharedVersions();
let synced = 0;
let resources = 0;
let began = 0;
let announce: () => void = () => undefined;
let all = Promise.resolve();

function expectSync(count: number): void {
  synced = 0;
  resources = 0;
  began = performance.now();
  all = new Promise((resolve) => {
    announce = () => {
      if (++synced === count) resolve();
    };
  });
}

async function connect(population: Population): Promise<SyncResult> {
  expectSync(population.nodes.length);
  for (const node of population.nodes) agents.push(await createAgent(population, node));
  return result();
}

/** To be called before connections are cut; `result` then waits until all have come back. */
function expectReconnect(): void {
  expectSync(agents.length);
}

async function result(): Promise<SyncResult> {
  await all;
  const seconds = (performance.now() - began) / 1000;
  const states = new Set(agents.map((agent) => agent.fingerprint())).size;
  const answer = { seconds, resources, states };
  resources = 0;
  return answer;
}

async function createAgent(population: Population, node: number): Promise<SimulatedAgent> {
  const access: ControlAccess = {
    endpoint: { target: `127.0.0.1:${population.port}`, tls: true },
    rootFile: population.rootFile,
    tokenFile: join(population.tokenFolder, `${nodeName(node)}.token`),
    token: null,
    headers: [],
    serverName: 'localhost',
    clusterId: 'Kubernetes',
  };
  const identity: NodeIdentity = {
    id: `ztunnel~10.0.0.1~ztunnel-${node}.istio-system~istio-system.svc.cluster.local`,
    metadata: { NODE_NAME: nodeName(node) },
  };
  return population.kind === 'light' ? light(access, identity) : full(access, identity, population);
}

async function light(access: ControlAccess, node: NodeIdentity): Promise<SimulatedAgent> {
  const [roots, metadata] = await Promise.all([readFile(access.rootFile ?? '', 'utf8'), callMetadata(access)]);
  const agent = new LightAgent({
    node,
    open: () => ({ client: openChannel(access, roots), metadata }),
    shared,
    leads: agents.length === 0,
    onSynced: () => {
      announce();
    },
    onResources: (count) => (resources += count),
  });
  agent.connect();
  return {
    fingerprint: () => `${agent.resources} ${agent.digest}`,
  };
}

function full(access: ControlAccess, node: NodeIdentity, { kind, names }: Population): SimulatedAgent {
  const replica = new MeshReplica(meshSettings());
  const client = new XdsClient({
    access,
    node,
    demanded: kind === 'on demand' ? { names: () => names } : null,
    network: () => replica.state.settings.network,
    apply: (changes) => {
      resources += changes.upserts.length + changes.removals.length;
      replica.apply(changes);
      return Promise.resolve();
    },
    onSynced: () => {
      announce();
    },
    onEnded: () => undefined,
    onAnswered: () => undefined,
    companion: null,
    timers: systemTimers,
    random: Math.random,
    logger: silentLogger,
    metrics,
  });
  void client.run(new AbortController().signal);
  return {
    fingerprint: () => {
      const { workloads, services, policies } = replica.state;
      // Agents that ask for what they need have the pods of their own nodes, which differ.
      return kind === 'on demand' ? 'own' : `${workloads.size} ${services.size} ${policies.size}`;
    },
  };
}

const agentsCommands = { connect, expectReconnect, result };
export type AgentsCommands = typeof agentsCommands;

obey(agentsCommands);
