import { createInterface } from 'node:readline/promises';
import { AmbitError } from '../config/errors.ts';
import { uninstall } from '../install/cluster/uninstall.ts';
import { addClusterOptions, waitOf, withCluster } from './cluster-command.ts';
import type { ClusterFlags } from './cluster-command.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { RegisterCommand } from './command.ts';

const HELP = `
Removes what \`ambit install\` has made, and what was deployed for Gateways; pods go on without the mesh. Gateways stay. The
definitions of custom resources, and with them every policy, the CA and the roots in all namespaces stay, unless --purge is
given. Secrets that you made (cacerts) stay in any case.

Examples:
  ambit uninstall
  ambit uninstall --purge --yes
${EXIT_STATUS_HELP}`;

interface UninstallFlags extends ClusterFlags {
  readonly purge?: boolean;
  readonly yes?: boolean;
  readonly wait: string;
}

export const registerUninstall: RegisterCommand = (program, context) => {
  const command = program
    .command('uninstall')
    .description('Remove the mesh from a cluster; its nodes are left as they were.')
    .option('--purge', 'also custom resources with their definitions, the CA, and roots in all namespaces')
    .option('-y, --yes', 'do not ask before a purge')
    .option('--wait <TIME>', 'how long the pods may take to go', '3m')
    .addHelpText('after', HELP);
  addClusterOptions(command).action(async (flags: UninstallFlags) => {
    const { namespace, purge = false, yes = false } = flags;
    const wait = waitOf(flags.wait);
    if (purge && !yes) await askForPurge();
    await withCluster(flags, context, (tools) => uninstall(tools, { namespace, purge, wait }));
  });
};

/** @throws AmbitError `SETTINGS_INVALID` unless somebody is there and says yes */
async function askForPurge(): Promise<void> {
  const warning = 'A purge deletes every policy and service entry in the cluster and the mesh’s CA for good.';
  if (!process.stdin.isTTY) throw new AmbitError('SETTINGS_INVALID', `${warning} Give --yes if that is what you want`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${warning} Type yes to go on: `);
    if (answer.trim() !== 'yes') throw new AmbitError('SETTINGS_INVALID', 'nothing was removed');
  } finally {
    terminal.close();
  }
}
