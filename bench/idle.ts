import { setTimeout as delay } from 'node:timers/promises';

import type { Agent } from '../test/support/agent.ts';
import { namespace } from '../test/support/manifests.ts';
import { select } from '../test/support/metrics.ts';
import { Rig } from '../test/support/rig.ts';
import { waitFor } from '../test/support/wait.ts';
import { openDescriptors, processTicks, residentBytes } from './cpu.ts';

export interface IdleMeasure {
  readonly pods: number;
  readonly residentMegabytes: number;
  /** Share of one core, in percent. */
  readonly cpuPercent: number;
  readonly openDescriptors: number;
  /** From the edit of the manifests until all pods are taken in, per pod; null without pods. */
  readonly enrolmentMilliseconds: number | null;
}

/** Scenario 5: what an agent costs that has nothing to do, and how long it takes to take pods in. */
export async function measureIdle(pods: number, seconds: number): Promise<IdleMeasure[]> {
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
    return [empty, await observe(agent, pods, seconds, enrolment)];
  } finally {
    await rig.remove();
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
