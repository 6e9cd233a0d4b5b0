import type { InstallerTools } from '../install/cluster/install.ts';
import { verify } from '../install/cluster/verify.ts';
import type { Site } from '../install/objects/common.ts';
import { EXIT } from '../agent/exit-codes.ts';
import { addClusterOptions, addValueOptions, siteOf, withCluster } from './cluster-command.ts';
import type { ClusterFlags, ValueFlags } from './cluster-command.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { Invocation, RegisterCommand } from './command.ts';

const HELP = `
Give the same values as for \`ambit install\`: everything is compared with what they say. Nothing is changed, but the API
server is asked what applying would change, so the rights of installing are needed.

Examples:
  ambit verify-install
  ambit verify-install --values mesh.yaml
${EXIT_STATUS_HELP}`;

export const registerVerifyInstall: RegisterCommand = (program, context) => {
  const command = program
    .command('verify-install')
    .description('Check that everything of an installation is there, as it should be, and runs.')
    .addHelpText('after', HELP);
  addClusterOptions(addValueOptions(command)).action(async (flags: ClusterFlags & ValueFlags) => {
    const site = await siteOf(flags, context);
    await withCluster(flags, context, (tools) => printVerified(tools, site, context));
  });
};

export async function printVerified({ api, report }: InstallerTools, site: Site, context: Invocation): Promise<void> {
  const verified = await verify(api, site);
  for (const { name, problems } of verified) {
    if (problems.length === 0) report(`ok         ${name}`);
    for (const problem of problems) report(`error      ${name}: ${problem}`);
  }
  if (verified.some(({ problems }) => problems.length > 0)) context.setStatus(EXIT.fault);
}
