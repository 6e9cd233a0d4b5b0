import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { bpffsPath } from './bpffs.ts';
import { enter } from './namespaces.ts';
import { exec } from './processes.ts';

/** Where the agent of a node pins; the names have no dots. */
export function pinsOf(node: string): string {
  return join(bpffsPath, 'ambit', node, 'v1');
}

export function podPins(node: string, uid: string): string {
  return join(pinsOf(node), 'pods', uid);
}

/** Everything of an agent that could pile up. */
export interface Holdings {
  readonly descriptors: number;
  /** Entries of all pinned maps that are keyed by something that comes and goes. */
  readonly mapEntries: Readonly<Record<string, number>>;
  readonly podPins: number;
  /** Programs and links of the whole machine would count other agents too: these are the process's own. */
  readonly bpfDescriptors: number;
  readonly threads: number;
}

const growingMaps = ['amb_pods', 'amb_probe_ports', 'amb_probes', 'amb_quota'];

export async function holdingsOf(pid: number, node: string): Promise<Holdings> {
  const descriptors = await readdir(`/proc/${pid}/fd`);
  const entries = await Promise.all(growingMaps.map(async (name) => [name, await countEntries(node, name)] as const));
  return {
    descriptors: descriptors.length,
    mapEntries: Object.fromEntries(entries),
    podPins: (await readdir(join(pinsOf(node), 'pods'))).length,
    bpfDescriptors: await countBpf(pid, descriptors),
    threads: (await readdir(`/proc/${pid}/task`)).length,
  };
}

async function countEntries(node: string, map: string): Promise<number> {
  const { stdout } = await exec(['bpftool', '-j', 'map', 'dump', 'pinned', join(pinsOf(node), map)]);
  return (JSON.parse(stdout) as unknown[]).length;
}

async function countBpf(pid: number, descriptors: readonly string[]): Promise<number> {
  const infos = descriptors.map((name) => readFile(`/proc/${pid}/fdinfo/${name}`, 'utf8').catch(() => ''));
  return (await Promise.all(infos)).filter((info) => /^(prog|map|link)_(id|type)/m.test(info)).length;
}

/** Rules, routes in tables of our own, and listeners of a pod, as text: what enrolment adds and un-enrolment takes away. */
export async function tracesIn(netns: string): Promise<string> {
  const script = 'ip rule; ip -6 rule; ip route show table 15001; ip -6 route show table 15001; ss -Htln | sort';
  const { stdout } = await exec(enter(netns, ['sh', '-c', `(${script}) 2>/dev/null`]), { anyStatus: true });
  return stdout;
}

/** Connections of a pod to or from port 15008 that are established. */
export async function tunnelsIn(netns: string): Promise<number> {
  const filter = ['( dport = :15008 or sport = :15008 )'];
  const { stdout } = await exec(enter(netns, ['ss', '-Htn', 'state', 'established', ...filter]));
  return stdout.split('\n').filter((line) => line !== '').length;
}

/** Real ports of the engine's listeners in a pod: transparent, so known by being nobody else's. */
export async function listenerPorts(netns: string): Promise<number[]> {
  const { stdout } = await exec(enter(netns, ['ss', '-Htln']));
  const ports = [...stdout.matchAll(/:(\d+)\s+\S+:\*/g)].map((match) => Number(match[1]));
  return [...new Set(ports)].filter((port) => port >= 61_000);
}
