import { cgroupRoot, linuxHost } from '../agent/host.ts';
import { AmbitError } from '../config/errors.ts';
import { absolutePath, nodeName } from '../config/setting-parsers.ts';
import { loadNative } from '../native/loader.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { CommandContext, RegisterCommand } from './command.ts';
import { requireRoot } from './root.ts';

const HELP = `
Stop the node's agent first: while it runs, nothing is removed. Pods that were captured are outside the mesh afterwards.

Examples:
  ambit detach --node worker-1
${EXIT_STATUS_HELP}`;

interface DetachFlags {
  readonly node?: string;
  readonly bpffs?: string;
  readonly cgroupRoot?: string;
  readonly hostProc?: string;
}

export const registerDetach: RegisterCommand = (program, context) => {
  program
    .command('detach')
    .description('Remove everything that the agent of a node left in the kernel.')
    .option('--node <NAME>', 'name of the node (required; or AMBIT_NODE)')
    .option('--bpffs <DIR>', 'mount point of the bpffs (default: /sys/fs/bpf)')
    .option('--cgroup-root <DIR>', 'mount point of cgroup2; found by itself if not given')
    .option('--host-proc <DIR>', 'where the /proc of the node is seen, by which pods are found (default: /proc)')
    .addHelpText('after', HELP)
    .action(async (flags: DetachFlags) => {
      await detach(flags, context);
    });
};

async function detach(flags: DetachFlags, { environment, addon, output }: CommandContext): Promise<void> {
  const node = nodeName(flags.node ?? environment['AMBIT_NODE'] ?? '');
  const bpffs = absolutePath(flags.bpffs ?? environment['AMBIT_BPFFS'] ?? '/sys/fs/bpf');
  const hostProc = absolutePath(flags.hostProc ?? environment['AMBIT_HOST_PROC'] ?? '/proc');
  const mistakes = [
    ...(node.ok ? [] : [`--node is not ${node.expected}`]),
    ...(bpffs.ok ? [] : [`--bpffs is not ${bpffs.expected}`]),
    ...(hostProc.ok ? [] : [`--host-proc is not ${hostProc.expected}`]),
  ];
  if (!node.ok || !bpffs.ok || !hostProc.ok) throw new AmbitError('SETTINGS_INVALID', mistakes.join('\n  '));
  requireRoot('detach');
  const cgroup = await cgroupRoot(
    linuxHost(hostProc.value),
    flags.cgroupRoot ?? environment['AMBIT_CGROUP_ROOT'] ?? null,
  );
  const removed = loadNative(addon).detach(node.value, bpffs.value, cgroup, hostProc.value);
  output(removed.length === 0 ? `nothing of node ${node.value} is left in the kernel\n` : `${removed.join('\n')}\n`);
}
