import { enter } from '../test/support/namespaces.ts';
import { exec, start } from '../test/support/processes.ts';
import type { Running } from '../test/support/processes.ts';
import { machineTicks } from './cpu.ts';

export interface StreamMeasure {
  readonly gigabitsPerSecond: number;
  /** Ticks of 10 ms of the whole machine per gigabyte carried. */
  readonly ticksPerGigabyte: number;
}

interface IperfReport {
  readonly error?: string;
  readonly end?: { readonly sum_received?: { readonly bytes: number; readonly seconds: number } };
}

/** A server for one test at a time. */
export async function iperfServer(netns: string, port: number): Promise<Running> {
  const server = start(enter(netns, ['iperf3', '--server', '--port', String(port), '--forceflush']));
  await server.line((line) => line.includes('listening'));
  return server;
}

export async function iperf(
  netns: string,
  address: string,
  options: { readonly port: number; readonly streams: number; readonly reverse: boolean; readonly seconds: number },
): Promise<StreamMeasure> {
  const { port, streams, reverse, seconds } = options;
  const args = ['--client', address, '--port', String(port), '--time', String(seconds), '--parallel', String(streams)];
  const before = await machineTicks();
  const { stdout } = await exec(enter(netns, ['iperf3', '--json', ...args, ...(reverse ? ['--reverse'] : [])]), {
    timeout: (seconds + 20) * 1000,
    anyStatus: true,
  });
  const ticks = (await machineTicks()) - before;
  const report = JSON.parse(stdout) as IperfReport;
  const received = report.end?.sum_received;
  if (received === undefined) throw new Error(`iperf3 to ${address}: ${report.error ?? 'no result'}`);
  return {
    gigabitsPerSecond: (received.bytes * 8) / received.seconds / 1e9,
    ticksPerGigabyte: ticks / (received.bytes / 1e9),
  };
}
