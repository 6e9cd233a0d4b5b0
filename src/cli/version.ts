import { runningVersions } from '../install/cluster/versions.ts';
import type { VersionCount } from '../install/cluster/versions.ts';
import { addClusterOptions, choiceOf, withCluster } from './cluster-command.ts';
import type { ClusterFlags } from './cluster-command.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { RegisterCommand } from './command.ts';
import { knowsCluster } from './kubeconfig.ts';

const HELP = `
With a kubeconfig, or in a pod, the versions of the control plane and the agents that run are printed as well.

Examples:
  ambit version
  ambit version --client
${EXIT_STATUS_HELP}`;

interface VersionFlags extends ClusterFlags {
  readonly client?: boolean;
}

export const registerVersion: RegisterCommand = (program, context) => {
  const command = program
    .command('version')
    .description('Print the versions of this program, the control plane and the agents.')
    .option('--client', 'only of this program')
    .addHelpText('after', HELP);
  addClusterOptions(command).action(async (flags: VersionFlags) => {
    context.output(`ambit ${context.version} (node ${process.versions.node})\n`);
    if (flags.client === true || !knowsCluster(choiceOf(flags, context))) return;
    await withCluster(flags, context, async ({ api, report }) => {
      const { control, agents } = await runningVersions(api, flags.namespace);
      report(`control plane: ${describe(control)}`);
      report(`agents: ${describe(agents)}`);
    });
  });
};

function describe(versions: VersionCount): string {
  if (versions.size === 0) return 'none';
  return [...versions].map(([version, count]) => `${version} (${count} ${count === 1 ? 'pod' : 'pods'})`).join(', ');
}
