import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { EXIT } from '../agent/exit-codes.ts';
import { linuxHost } from '../agent/host.ts';
import { AmbitError } from '../config/errors.ts';
import type { Finding } from '../install/precheck/finding.ts';
import { machineFindings } from '../install/precheck/kernel.ts';
import { precheckCluster } from '../install/precheck/precheck.ts';
import { addClusterOptions, addValueOptions, choiceOf, siteOf, withCluster } from './cluster-command.ts';
import type { ClusterFlags, ValueFlags } from './cluster-command.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { Invocation, RegisterCommand } from './command.ts';
import { knowsCluster } from './kubeconfig.ts';

const HELP = `
Looks at the cluster of the kubeconfig: version, your rights, kernels, other meshes, the network. With --node it looks at
this machine instead, as a node. Changes nothing. The exit status is 3 when something stands against an installation.

Examples:
  ambit precheck
  ambit precheck --node
${EXIT_STATUS_HELP}`;

interface PrecheckFlags extends ClusterFlags, ValueFlags {
  readonly node?: boolean;
}

export const registerPrecheck: RegisterCommand = (program, context) => {
  const command = program
    .command('precheck')
    .description('Say what stands against an installation, and what to do about it.')
    .option('--node', 'look at this machine as a node, not at the cluster')
    .addHelpText('after', HELP);
  addClusterOptions(addValueOptions(command)).action(async (flags: PrecheckFlags) => {
    if (flags.node === true) print(await lookAtMachine(), context);
    else await lookAtCluster(flags, context);
  });
};

async function lookAtMachine(): Promise<readonly Finding[]> {
  if (process.platform !== 'linux') throw new AmbitError('SETTINGS_INVALID', '--node is for a machine with Linux');
  const hasTypes = existsSync('/sys/kernel/btf/vmlinux');
  return machineFindings({ release: release(), hasTypes, mounts: await linuxHost('/proc').mounts('self') });
}

async function lookAtCluster(flags: PrecheckFlags, context: Invocation): Promise<void> {
  if (!knowsCluster(choiceOf(flags, context))) {
    throw new AmbitError('SETTINGS_INVALID', 'there is no kubeconfig: name one with --kubeconfig, or give --node');
  }
  const site = await siteOf(flags, context);
  await withCluster(flags, context, async ({ api }) => {
    print(await precheckCluster(api, site), context);
  });
}

function print(findings: readonly Finding[], { output, setStatus }: Invocation): void {
  for (const { level, what, advice } of findings) {
    output(`${level.padEnd(6)} ${what}${advice === '' ? '' : `\n       → ${advice}`}\n`);
  }
  if (findings.some(({ level }) => level === 'error')) setStatus(EXIT.unsupported);
}
