import { setTimeout as delay } from 'node:timers/promises';

import type { Agent } from '../test/support/agent.ts';
import { namespace } from '../test/support/manifests.ts';
import { select } from '../test/support/metrics.ts';
import { Rig } from '../test/support/rig.ts';
import { endpoint, storm } from '../test/support/testkit.ts';
import type { PodPlan } from '../test/support/topology.ts';
import { waitFor } from '../test/support/wait.ts';
import { openDescriptors, processTicks, residentBytes } from './cpu.ts';
import { measureUpcalls } from './upcalls.ts';
import type { UpcallMeasure } from './upcalls.ts';

/** Nobody listens there: the questions are asked all the same. */
const closedPort = 8080;
/** Enough for V8 to have compiled what decides, as it has in an agent that is not a minute old. */
const callers = 20;

export interface IdleMeasure {
  readonly pods: number;
  readonly residentMegabytes: number;
  /** Share of one core, in percent. */
  readonly cpuPercent: number;
  readonly openDescriptors: number;
  /** From the edit of the manifests until all pods are taken in, per pod; null without pods. */
  readonly enrolmentMilliseconds: number | null;
}

export interface AgentMeasure {
  readonly idle: readonly IdleMeasure[];
  readonly upcalls: UpcallMeasure;
}

/**
 * Scenario 5: what an agent costs that has nothing to do, and how long it takes to take pods in. Then some pods call all
 * others one by one: so many new kinds of flow, out and in, on a loop that does nothing else.
 */
export async function measureAgent(pods: number, seconds: number): Promise<AgentMeasure> {
  const names = Array.from({ length: pods }, (_, index) => `pod-${index}`);
  const rig = await Rig.create({ nodes: 1, pods: Object.fromEntries(names.map((name) => [name, 0])) });
  try {
    const agent = await rig.startAgent(0);
    const empty = await observe(agent, 0, seconds, null);
    const begun = performance.now();
    const documents = names.map((name) => rig.podManifest(name, { namespace: 'idle' }));
    await rig.manifests.write('pods', [namespace('idle'), ...documents]);
    await waitFor(() => enrolled(agent, pods), { timeout: 60_000, interval: 10, what: `${pods} pods enrolled` });
    const enrolment = (performance.now() - begun) / pods;
    const idle = [empty, await observe(agent, pods, seconds, enrolment)];
    const upcalls = await measureUpcalls(agent, () => callEachOther(rig.pods.slice(0, callers), rig.pods));
    return { idle, upcalls };
  } finally {
    await rig.remove();
  }
}

async function callEachOther(callers: readonly PodPlan[], pods: readonly PodPlan[]): Promise<void> {
  for (const caller of callers) {
    const targets = pods.filter((pod) => pod !== caller).map(({ ipv4 }) => endpoint(ipv4, closedPort));
    await storm(caller.netns, [...targets, '--count', String(targets.length), '--clients', '1'], 60_000);
  }
}

async function enrolled(agent: Agent, pods: number): Promise<boolean> {
  const [sample] = select(await agent.metrics(), 'workload_manager_active_proxy_count');
  return sample?.value === pods;
}

async function observe(
  agent: Agent,
  pods: number,
  seconds: number,
  enrolmentMilliseconds: number | null,
): Promise<IdleMeasure> {
  const { pid } = agent.process;
  const before = await processTicks(pid);
  // A span of measurement, not a wait for something.
  await delay(seconds * 1000);
  return {
    pods,
    residentMegabytes: (await residentBytes(pid)) / 1e6,
    cpuPercent: ((await processTicks(pid)) - before) / seconds,
    openDescriptors: await openDescriptors(pid),
    enrolmentMilliseconds,
  };
}
