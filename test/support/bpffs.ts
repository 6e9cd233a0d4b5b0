import { readFile } from 'node:fs/promises';

import { exec } from './processes.ts';

export const bpffsPath = '/sys/fs/bpf';

/** Mounts the bpffs where a machine without systemd lacks it. It stays: other programs of the machine may use it by now. */
export async function ensureBpffs(): Promise<void> {
  const mounts = await readFile('/proc/mounts', 'utf8');
  if (mounts.includes(` ${bpffsPath} bpf `)) return;
  await exec(['mount', '-t', 'bpf', 'bpf', bpffsPath]);
}
