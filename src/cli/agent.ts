import { dirname, join } from 'node:path';
import { destination } from 'pino';
import { Agent } from '../agent/agent.ts';
import type { AgentCluster } from '../agent/agent.ts';
import { linuxHost } from '../agent/host.ts';
import { controlCredentials } from '../config/control-credentials.ts';
import { nodeMetadata } from '../config/control-settings.ts';
import { agentSettingTable, resolveAgentSettings } from '../config/settings.ts';
import type { AgentSettings } from '../config/settings.ts';
import { inClusterAccess, proxiedAccess } from '../kube/cluster-access.ts';
import { KubeClient } from '../kube/kube-client.ts';
import { loadNative } from '../native/loader.ts';
import type { NativeTrace } from '../native/loader.ts';
import { Logging } from '../telemetry/logger.ts';
import { createAgentMetrics } from '../telemetry/metrics.ts';
import { systemTimers } from '../timing/timers.ts';
import { addOption, EXIT_STATUS_HELP } from './command.ts';
import type { CommandContext, RegisterCommand } from './command.ts';
import { requireRoot } from './root.ts';

const HELP = `
Each flag is also a variable, AMBIT_ and its name in capitals: --log-level is AMBIT_LOG_LEVEL. A flag wins. The variables
of the ztunnel chart (XDS_ADDRESS, CA_ADDRESS, NODE_NAME, CLUSTER_ID, …) are read where ours are not set.
AMBIT_TRACE_NATIVE=1 logs every call into the engine.

Examples:
  ambit agent --node worker-1 --manifests /etc/ambit --ca /var/lib/ambit/ca
  ambit agent --node worker-1 --control 10.0.0.1:15012 --token-file token --root-file root-cert.pem
  nsenter --net=/run/netns/worker-1 ambit agent --node worker-1 --manifests mesh.yaml --ca ca
${EXIT_STATUS_HELP}
SIGTERM and SIGINT drain: open connections may go on for --drain-deadline. A second signal ends them. Captured pods stay
closed until the next agent, or until \`ambit detach\`.
`;

export const registerAgent: RegisterCommand = (program, context) => {
  const command = program.command('agent').description('Serve the pods of this node.').addHelpText('after', HELP);
  for (const setting of agentSettingTable) addOption(command, setting);
  command.action(async (flags: Record<string, unknown>) => {
    await runAgent(flags, context);
  });
};

async function runAgent(flags: Readonly<Record<string, unknown>>, context: CommandContext): Promise<void> {
  const settings = resolveAgentSettings(flags, context.environment);
  requireRoot('agent');
  const logging = new Logging({
    level: settings.logLevel,
    format: settings.logFormat,
    // Synchronous: the last lines before an end are the ones that are needed.
    destination: destination({ fd: process.stdout.fd, sync: true }),
  });
  const agent = new Agent({
    settings,
    version: context.version,
    logging,
    metrics: createAgentMetrics(context.version),
    timers: systemTimers,
    random: Math.random,
    host: linuxHost(settings.hostProc),
    native: loadNative(context.addon, nativeTrace(context, logging)),
    events: process,
    nodeMetadata: nodeMetadata(context.environment),
    credentials: controlCredentials(flags, context.environment),
    cluster: settings.kubernetes ? clusterOf(settings, context) : null,
  });
  await agent.run();
}

function clusterOf({ kubernetesApi }: AgentSettings, { environment, version, addon }: CommandContext): AgentCluster {
  const access = kubernetesApi === null ? inClusterAccess(environment) : proxiedAccess(kubernetesApi);
  const client = new KubeClient({ access, timers: systemTimers, userAgent: `ambit-agent/${version}` });
  return { client, cniBinary: join(dirname(addon), 'ambit-cni') };
}

function nativeTrace({ environment }: CommandContext, logging: Logging): NativeTrace | null {
  if ((environment['AMBIT_TRACE_NATIVE'] ?? '') === '') return null;
  const logger = logging.component('native');
  return (call, milliseconds) => {
    logger.info({ call, ms: Number(milliseconds.toFixed(3)) }, 'native call');
  };
}
