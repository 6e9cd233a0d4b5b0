import { Option } from 'commander';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { AmbitError } from '../config/errors.ts';
import type { InstallerTools } from '../install/cluster/install.ts';
import { addClusterAccessOptions, choiceOf, waitOf, withCluster } from './cluster-command.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { CommandContext, RegisterCommand } from './command.ts';
import { kubeconfigNamespace } from './kubeconfig.ts';
import { applyWaypoint, deleteWaypoints, listWaypoints, statusOfWaypoints } from './waypoints/actions.ts';
import { gatewayFor, trafficTypes } from './waypoints/gateways.ts';
import type { TrafficType, WaypointWish } from './waypoints/gateways.ts';

const HELP = `
A waypoint is a Gateway of class istio-waypoint. The control plane deploys its proxies; docs/waypoints.md says what goes
through them.

Examples:
  ambit waypoint apply -n shop --enroll-namespace --wait
  ambit waypoint generate -n shop --for all > waypoint.yaml
  ambit waypoint list -A
  ambit waypoint status -n shop waypoint
  ambit waypoint delete -n shop waypoint
${EXIT_STATUS_HELP}`;

interface WaypointFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly for?: TrafficType;
  readonly revision?: string;
  readonly enrollNamespace?: boolean;
  readonly overwrite?: boolean;
  readonly wait?: boolean;
  readonly waypointTimeout: string;
  readonly allNamespaces?: boolean;
  readonly all?: boolean;
}

export const registerWaypoint: RegisterCommand = (program, context) => {
  const waypoint = program
    .command('waypoint')
    .description('Make, look at and remove waypoints.')
    .addHelpText('after', HELP);
  registerApply(waypoint, context);
  registerGenerate(waypoint, context);
  registerDelete(waypoint, context);
  registerList(waypoint, context);
  registerStatus(waypoint, context);
};

function registerApply(waypoint: Command, context: CommandContext): void {
  const command = waypoint
    .command('apply')
    .description('Make a waypoint, or change it.')
    .option('--enroll-namespace', 'label the namespace so that it goes through the waypoint')
    .option('--overwrite', 'also where the namespace goes through another one')
    .option('-w, --wait', 'until it is ready');
  addTimeout(addWishOptions(addCommonOptions(command))).action(async (flags: WaypointFlags) => {
    await inNamespace(flags, context, async (tools, namespace) => {
      const { enrollNamespace: enrol = false, overwrite = false } = flags;
      const wait = flags.wait === true ? waitOf(flags.waypointTimeout) : null;
      await applyWaypoint(tools, { wish: wishOf(flags, namespace), enrol, overwrite, wait });
    });
  });
}

function registerGenerate(waypoint: Command, context: CommandContext): void {
  const command = waypoint.command('generate').description('Print the Gateway of a waypoint as YAML.');
  addWishOptions(command)
    .option('-n, --namespace <NAME>', 'namespace of the waypoint', 'default')
    .action((flags: WaypointFlags & { readonly namespace: string }) => {
      context.output(stringify(gatewayFor(wishOf(flags, flags.namespace))));
    });
}

function registerDelete(waypoint: Command, context: CommandContext): void {
  const command = waypoint
    .command('delete')
    .description('Remove waypoints, by their names or all of a namespace.')
    .argument('[NAMES...]', 'of the waypoints')
    .option('--all', 'every waypoint of the namespace')
    .option('-r, --revision <NAME>', 'only those of a revision');
  addCommonOptions(command).action(async (names: readonly string[], flags: WaypointFlags) => {
    const all = flags.all === true;
    if (all === names.length > 0) throw new AmbitError('SETTINGS_INVALID', 'give names of waypoints, or --all');
    await inNamespace(flags, context, (tools, namespace) =>
      deleteWaypoints(tools, { namespace, names: all ? null : names, revision: flags.revision ?? null }),
    );
  });
}

function registerList(waypoint: Command, context: CommandContext): void {
  const command = waypoint.command('list').description('Print the waypoints of a namespace, or of all.');
  addAllNamespaces(addCommonOptions(command)).action(async (flags: WaypointFlags) => {
    await inNamespace(flags, context, (tools, namespace) =>
      listWaypoints(tools, flags.allNamespaces === true ? null : namespace),
    );
  });
}

function registerStatus(waypoint: Command, context: CommandContext): void {
  const command = waypoint
    .command('status')
    .description('Tell whether waypoints are ready, and why not; waits until they are.')
    .argument('[NAMES...]', 'of the waypoints; none: all')
    .option('--no-wait', 'tell what is so now');
  addTimeout(addAllNamespaces(addCommonOptions(command))).action(
    async (names: readonly string[], flags: WaypointFlags) => {
      const wait = flags.wait === false ? null : waitOf(flags.waypointTimeout);
      await inNamespace(flags, context, (tools, namespace) =>
        statusOfWaypoints(tools, { namespace: flags.allNamespaces === true ? null : namespace, names, wait }),
      );
    },
  );
}

function addCommonOptions(command: Command): Command {
  return addClusterAccessOptions(command).option(
    '-n, --namespace <NAME>',
    'namespace of the waypoint (default: that of the kubeconfig’s context, or default)',
  );
}

function addWishOptions(command: Command): Command {
  return command
    .option('--name <NAME>', 'of the waypoint', 'waypoint')
    .option('-r, --revision <NAME>', 'its label istio.io/rev')
    .addOption(new Option('--for <TYPE>', 'traffic that it is for (default: service)').choices(trafficTypes));
}

function addTimeout(command: Command): Command {
  return command.option('--waypoint-timeout <TIME>', 'longest time of waiting', '90s');
}

function addAllNamespaces(command: Command): Command {
  return command.option('-A, --all-namespaces', 'of all namespaces');
}

/** @throws AmbitError `SETTINGS_INVALID` */
function wishOf(flags: WaypointFlags, namespace: string): WaypointWish {
  // Its Service is called so, too.
  if (!/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/.test(flags.name))
    throw new AmbitError('SETTINGS_INVALID', '--name is not a name that a Service may have, such as waypoint');
  return { name: flags.name, namespace, trafficType: flags.for ?? null, revision: flags.revision ?? null };
}

async function inNamespace(
  flags: WaypointFlags,
  context: CommandContext,
  work: (tools: InstallerTools, namespace: string) => Promise<void>,
): Promise<void> {
  const namespace = flags.namespace ?? (await kubeconfigNamespace(choiceOf(flags, context)));
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace))
    throw new AmbitError('SETTINGS_INVALID', '--namespace is not a name of a namespace');
  await withCluster(flags, context, (tools) => work(tools, namespace));
}
