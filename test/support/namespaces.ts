import { exec } from './processes.ts';

/** Enters a network namespace and nothing else: `ip netns exec` would also mount another /sys and hide the bpffs. */
export function enter(netns: string, command: readonly string[]): string[] {
  return ['nsenter', `--net=/run/netns/${netns}`, '--', ...command];
}

export async function ipBatch(lines: readonly string[], netns?: string): Promise<void> {
  if (lines.length === 0) return;
  const command = ['ip', '-batch', '-'];
  await exec(netns === undefined ? command : enter(netns, command), { input: `${lines.join('\n')}\n` });
}

/** Settings first, then the batch, in one process: a rig of a hundred pods starts a hundred of them. */
export async function configure(netns: string, settings: readonly string[], lines: readonly string[]): Promise<void> {
  const writes = settings.map((setting) => {
    const [path = '', value = ''] = setting.split(' ');
    return `echo ${value} > /proc/sys/${path}`;
  });
  const script = [...writes, 'exec ip -batch -'].join('\n');
  await exec(enter(netns, ['sh', '-ec', script]), { input: `${lines.join('\n')}\n` });
}
