import assert from 'node:assert/strict';

import type { Agent } from '../support/agent.ts';
import { assertLine } from '../support/access-log.ts';
import type { AccessLine, AccessQuery } from '../support/access-log.ts';
import { sum } from '../support/metrics.ts';
import type { LabelQuery } from '../support/metrics.ts';
import type { Running } from '../support/processes.ts';
import { call } from '../support/testkit.ts';
import type { CallResult } from '../support/testkit.ts';
import { waitFor } from '../support/wait.ts';
import type { Mesh, PodName } from './mesh.ts';

/** How soon an edit of the manifests must govern new connections. */
export const editLimit = 8_000;

/** Sends and receives on the first of the connections that are held. */
export async function exchange(held: Running): Promise<void> {
  const before = held.lines.length;
  held.write('exchange 0 1000\n');
  const line = await waitFor(() => held.lines[before], { what: 'the answer on the held connection' });
  assert.ok(line.includes('"error":null'), `the held connection broke: ${line}`);
}

export function from(mesh: Mesh, pod: PodName, target: string, options: readonly string[] = []): Promise<CallResult> {
  return call(mesh.rig.pod(pod).netns, target, options);
}

export function becomesRefused(mesh: Mesh, pod: PodName, target: string): Promise<CallResult> {
  const refusal = async (): Promise<CallResult | null> => {
    const result = await from(mesh, pod, target);
    return result.ok ? null : result;
  };
  return waitFor(refusal, { timeout: editLimit, what: `refusal of ${pod} at ${target}` });
}

export async function becomesAllowed(mesh: Mesh, pod: PodName, target: string): Promise<void> {
  const allowed = async (): Promise<boolean> => (await from(mesh, pod, target)).ok;
  await waitFor(allowed, { timeout: editLimit, what: `${pod} allowed at ${target}` });
}

export function assertClient(mesh: Mesh, peer: string): void {
  const { ipv4 } = mesh.rig.pod('client');
  assert.ok(peer.startsWith(`${ipv4}:`), `the server saw ${peer}, not the client's own address ${ipv4}`);
}

/** How a refusal looked to the application. */
export function ending({ error, phase, end }: CallResult): string {
  return `${error ?? end} (${phase})`;
}

export function startsWithAddress(peer: string): RegExp {
  return new RegExp(`^${peer.replace(/:\d+$/, ':').replaceAll('.', '\\.')}`);
}

export async function counted(agent: Agent, name: string, labels: LabelQuery): Promise<number> {
  return sum(await agent.metrics(), name, labels);
}

export async function grows(agent: Agent, name: string, labels: LabelQuery, before: number): Promise<void> {
  const grown = async (): Promise<boolean> => (await counted(agent, name, labels)) > before;
  await waitFor(grown, { timeout: 5_000, what: `${name}${JSON.stringify(labels)} above ${before}` });
}

/** A line is written when its connection has ended, so it may be a moment late. */
export function logged(agent: Agent, query: AccessQuery): Promise<AccessLine> {
  return waitFor(async () => assertLine(await agent.accessLog(), query), {
    timeout: 5_000,
    what: 'the access-log line',
  });
}
