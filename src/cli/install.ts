import type { Command } from 'commander';
import { install } from '../install/cluster/install.ts';
import { addClusterOptions, addValueOptions, siteOf, waitOf, withCluster } from './cluster-command.ts';
import type { ClusterFlags, ValueFlags } from './cluster-command.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { Invocation, RegisterCommand } from './command.ts';
import { printVerified } from './verify-install.ts';

const HELP = `
Values: a profile, then files, then --set; later ones win. Lists are a,b or list[0]=a. \`ambit profile dump\` prints all.
Applying again with the same values changes nothing; with others it changes what they change.

Examples:
  ambit install
  ambit install --set strict=true --wait 5m
  ambit install --values mesh.yaml --dry-run
${EXIT_STATUS_HELP}`;

interface InstallFlags extends ClusterFlags, ValueFlags {
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly verify?: boolean;
  readonly wait?: string;
}

const VERIFY_WAIT = '5m';

export const registerInstall: RegisterCommand = (program, context) => {
  const command: Command = program
    .command('install')
    .description('Install the mesh into a cluster, or change an installation.')
    .option('--dry-run', 'say what would be done; the API server checks it, and nothing is changed')
    .option('--force', 'take over objects and fields of others')
    .option(
      '--wait <TIME>',
      'until control plane and agents run, at most so long; for an API server that is away, as well',
    )
    .option('--verify', `check everything afterwards (waits ${VERIFY_WAIT} unless --wait says otherwise)`)
    .addHelpText('after', HELP);
  addClusterOptions(addValueOptions(command)).action(async (flags: InstallFlags) => {
    await run(flags, context);
  });
};

async function run(flags: InstallFlags, context: Invocation): Promise<void> {
  const { dryRun = false, force = false, verify = false } = flags;
  const time = flags.wait ?? (verify ? VERIFY_WAIT : null);
  const wait = time === null ? null : waitOf(time);
  const site = await siteOf(flags, context);
  await withCluster(flags, context, async (tools) => {
    await install(tools, { site, force, dryRun, wait });
    if (verify && !dryRun) await printVerified(tools, site, context);
  });
}
