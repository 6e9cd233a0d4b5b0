import { Option } from 'commander';
import type { z } from 'zod';
import { AmbitError } from '../config/errors.ts';
import { explainSettings } from '../config/explain-settings.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { CommandContext, RegisterCommand } from './command.ts';
import { fetchPage, parseJson } from './pages.ts';
import { describeResources, resourcesOf, waypointSchema } from './proxies/proxy-config.ts';
import type { ResourceKind } from './proxies/proxy-config.ts';
import { clientsSchema, describeClients, describeRejections, describeSync } from './proxies/proxy-status.ts';

const WHERE_HELP = `
Each replica of the control plane knows its own clients. Its debug port is on localhost of its pod:
  kubectl -n istio-system port-forward deploy/istiod 8080 &
  ambit`;

const STATUS_HELP = `${WHERE_HELP} proxy-status -v full

SYNCED: has taken what is in force. STALE: was told, or is about to be, and has not said yes. NACKED: refuses it, and goes on
with what it had; the reasons follow the table. NOT SENT: nothing yet. IGNORED: does not ask for the type.
${EXIT_STATUS_HELP}`;

const CONFIG_HELP = `${WHERE_HELP} proxy-config clusters shop/waypoint
${EXIT_STATUS_HELP}`;

interface ProxyFlags {
  readonly controlDebug?: string;
  readonly verbosity: 'default' | 'full';
  readonly output: 'text' | 'json';
}

const deadline = 20_000;
const unreachable = {
  code: 'CONTROL_UNREACHABLE',
  hint: 'is it the debug port of a control plane (--control-debug)?',
};

export const registerProxyStatus: RegisterCommand = (program, context) => {
  program
    .command('proxy-status')
    .alias('ps')
    .description('Tell whether agents and waypoints have what the control plane tells them.')
    .addOption(debugOption())
    .addOption(outputOption())
    .addOption(new Option('-v, --verbosity <LEVEL>', 'full: a column for each type').choices(levels).default('default'))
    .addHelpText('after', STATUS_HELP)
    .action(async (flags: ProxyFlags) => {
      const { verbosity, output } = flags;
      const clients = await ask(`${debugPages(flags, context)}/debug/syncz`, clientsSchema);
      if (output === 'json') {
        context.output(`${JSON.stringify(clients, null, 2)}\n`);
        return;
      }
      context.output(verbosity === 'full' ? describeSync(clients) : describeClients(clients));
      context.output(describeRejections(clients));
    });
};

export const registerProxyConfig: RegisterCommand = (program, context) => {
  const command = program
    .command('proxy-config')
    .alias('pc')
    .description('Print what the proxies of a waypoint are told.')
    .addHelpText('after', CONFIG_HELP);
  for (const [name, kind] of kinds) {
    command
      .command(`${name}s`)
      .alias(name)
      .argument('<NAMESPACE/GATEWAY>', 'the waypoint')
      .description(`The ${name}s.`)
      .addOption(debugOption())
      .addOption(outputOption())
      .action(async (waypoint: string, flags: ProxyFlags) => {
        await printResources(kind, waypoint, flags, context);
      });
  }
};

const levels = ['default', 'full'];

const kinds: readonly (readonly [string, ResourceKind])[] = [
  ['cluster', 'clusters'],
  ['listener', 'listeners'],
  ['route', 'routes'],
  ['endpoint', 'endpoints'],
  ['secret', 'secrets'],
];

async function printResources(
  kind: ResourceKind,
  waypoint: string,
  flags: ProxyFlags,
  context: CommandContext,
): Promise<void> {
  if (!/^[a-z0-9-]+\/(serviceaccount:)?[a-z0-9.-]+$/.test(waypoint))
    throw new AmbitError(
      'SETTINGS_INVALID',
      'the waypoint or gateway is to be named as NAMESPACE/GATEWAY, or NAMESPACE/serviceaccount:NAME',
    );
  const { output } = flags;
  const url = `${debugPages(flags, context)}/debug/waypoint?name=${encodeURIComponent(waypoint)}`;
  const described = await ask(url, waypointSchema);
  if (output === 'json') context.output(`${JSON.stringify(resourcesOf(kind, described), null, 2)}\n`);
  else context.output(describeResources(kind, described));
}

/** @throws AmbitError `CONTROL_UNREACHABLE`, `NO_WAYPOINT`, `CONTROL_UNREADABLE` */
async function ask<Schema extends z.ZodType>(url: string, schema: Schema): Promise<z.output<Schema>> {
  const { status, text } = await fetchPage({ url, deadline, unreachable });
  if (status === 404) throw new AmbitError('NO_WAYPOINT', text.trim());
  const reading = schema.safeParse(parseJson(text));
  if (status === 200 && reading.success) return reading.data;
  const hint = 'is that one of our control planes, and of this version?';
  throw new AmbitError(
    'CONTROL_UNREADABLE',
    `${url} answered with status ${status} and nothing that can be read: ${hint}`,
  );
}

function debugOption(): Option {
  const row = explainSettings.rows.find(({ flag }) => flag === 'control-debug');
  return new Option('--control-debug <URL>', `debug pages of a control plane (default: ${row?.default ?? ''})`);
}

/** @throws AmbitError `SETTINGS_INVALID` */
function debugPages({ controlDebug }: ProxyFlags, { environment }: CommandContext): string {
  return explainSettings.resolve(controlDebug === undefined ? {} : { controlDebug }, environment).controlDebug;
}

function outputOption(): Option {
  return new Option('-o, --output <FORM>', 'text or json').choices(['text', 'json']).default('text');
}
