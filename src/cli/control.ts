import type { Command } from 'commander';
import { destination } from 'pino';
import { controlPlaneSettings, tokenSettings } from '../config/control-plane-settings.ts';
import { loadTokenKeys } from '../control/certificates/token-keys.ts';
import { createToken } from '../control/certificates/tokens.ts';
import { Control } from '../control/control.ts';
import { ClusterSite } from '../control/kubernetes/cluster-site.ts';
import type { ClusterSiteDependencies } from '../control/kubernetes/cluster-site.ts';
import { manifestSite } from '../control/manifest-site.ts';
import type { ControlSite } from '../control/site.ts';
import { inClusterAccess } from '../kube/cluster-access.ts';
import { KubeClient } from '../kube/kube-client.ts';
import { createControlMetrics } from '../telemetry/control-metrics.ts';
import { Logging } from '../telemetry/logger.ts';
import { systemTimers } from '../timing/timers.ts';
import { addOption, EXIT_STATUS_HELP } from './command.ts';
import type { CommandContext, RegisterCommand } from './command.ts';

const HELP = `
Each flag is also a variable, AMBIT_ and its name in capitals: --xds-port is AMBIT_XDS_PORT. A flag wins.

Examples:
  ambit control --manifests /etc/ambit --state-dir /var/lib/ambit/control
  ambit control token --node worker-1 > worker-1.token
${EXIT_STATUS_HELP}
Agents need the root, STATE_DIR/ca/root-cert.pem or that of --ca, and a token.
`;

const TOKEN_HELP = `
The token goes to the output. Whoever has it may have certificates for every pod that runs on that node, and for no
other: give it to that node alone, in a file that only root can read. The agent reads the file anew for every call.

Examples:
  ambit control token --node worker-1 --lifetime 30d > worker-1.token
${EXIT_STATUS_HELP}`;

export const registerControl: RegisterCommand = (program, context) => {
  const control = program
    .command('control')
    .description('Serve the mesh to its agents: workloads, services, policies, certificates.')
    .addHelpText('after', HELP);
  for (const row of controlPlaneSettings.rows) addOption(control, row);
  control.action(async (flags: Record<string, unknown>) => {
    await runControl(flags, context);
  });
  const token = control
    .command('token')
    .description('Make the token by which an agent proves which node it is.')
    .addHelpText('after', TOKEN_HELP);
  for (const row of tokenSettings.rows) addOption(token, row);
  // Flags that both have, such as --state-dir, are taken by whichever of the two they follow.
  token.action(async (_flags: Record<string, unknown>, command: Command) => {
    await printToken(command.optsWithGlobals(), context);
  });
};

async function runControl(flags: Readonly<Record<string, unknown>>, context: CommandContext): Promise<void> {
  const settings = controlPlaneSettings.resolve(flags, context.environment);
  const logging = new Logging({
    level: settings.logLevel,
    format: settings.logFormat,
    // Synchronous: the last lines before an end are the ones that are needed.
    destination: destination({ fd: process.stdout.fd, sync: true }),
  });
  const common = {
    settings,
    logging,
    metrics: createControlMetrics(context.version),
    timers: systemTimers,
    random: Math.random,
  };
  const control = new Control({ ...common, site: siteOf(common, context), version: context.version, events: process });
  await control.run();
}

type SiteDependencies = Omit<ClusterSiteDependencies, 'client'>;

function siteOf(common: SiteDependencies, { environment, version }: CommandContext): ControlSite {
  const { settings, timers } = common;
  const { manifests } = settings;
  if (manifests !== null) return manifestSite({ ...common, manifests });
  const access = inClusterAccess(environment);
  const client = new KubeClient({ access, timers, userAgent: `ambit-control/${version}` });
  return new ClusterSite({ ...common, client });
}

async function printToken(flags: Readonly<Record<string, unknown>>, context: CommandContext): Promise<void> {
  const { node, pod, stateDir, lifetime } = tokenSettings.resolve(flags, context.environment);
  const keys = await loadTokenKeys(stateDir);
  context.output(`${createToken(keys, { node, pod, lifetime, now: Date.now() })}\n`);
}
