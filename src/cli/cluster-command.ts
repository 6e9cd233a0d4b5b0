import { readFile } from 'node:fs/promises';
import { setMaxListeners } from 'node:events';
import type { Command } from 'commander';
import { AmbitError } from '../config/errors.ts';
import { parseDuration } from '../config/durations.ts';
import type { InstallerTools } from '../install/cluster/install.ts';
import type { Site } from '../install/objects/common.ts';
import { resolveValues } from '../install/values/resolve.ts';
import { KubeClient } from '../kube/kube-client.ts';
import type { Timers } from '../timing/timers.ts';
import type { CommandContext } from './command.ts';
import { kubeconfigAccess } from './kubeconfig.ts';
import type { KubeconfigChoice } from './kubeconfig.ts';

/** Where the cluster is. */
export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace: string;
}

/** What is installed. */
export interface ValueFlags {
  readonly profile: string;
  readonly set: readonly string[];
  readonly values: readonly string[];
  readonly namespace: string;
}

export function addClusterOptions(command: Command): Command {
  return addClusterAccessOptions(addNamespaceOption(command));
}

export function addClusterAccessOptions(command: Command): Command {
  return command
    .option('--kubeconfig <FILE>', 'as for kubectl (default: KUBECONFIG, ~/.kube/config, or the pod’s own account)')
    .option('--context <NAME>', 'of the kubeconfig (default: its current one)');
}

export function addNamespaceOption(command: Command): Command {
  return command.option('-n, --namespace <NAME>', 'namespace of the installation', 'istio-system');
}

export function addValueOptions(command: Command): Command {
  const collect = (value: string, former: readonly string[]): readonly string[] => [...former, value];
  return command
    .option('--profile <NAME>', 'named values to start from: default, demo, minimal', 'default')
    .option('-f, --values <FILE>', 'YAML of values; may be given several times', collect, [])
    .option('-s, --set <PATH=VALUE>', 'one value, such as strict=true; may be given several times', collect, []);
}

/** @throws AmbitError `SETTINGS_INVALID` */
export async function siteOf(flags: ValueFlags, { version }: CommandContext): Promise<Site> {
  const { namespace, profile, set, values } = flags;
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace)) {
    throw new AmbitError('SETTINGS_INVALID', '--namespace is not a name of a namespace');
  }
  const files = await Promise.all(values.map(readValues));
  return { values: resolveValues({ profile, files, set, namespace }), namespace, version };
}

async function readValues(name: string): Promise<{ readonly name: string; readonly text: string }> {
  try {
    return { name, text: await readFile(name, 'utf8') };
  } catch (cause) {
    throw new AmbitError('SETTINGS_INVALID', `--values ${name} cannot be read`, { cause });
  }
}

/** Milliseconds. @throws AmbitError `SETTINGS_INVALID` */
export function waitOf(text: string): number {
  const milliseconds = parseDuration(text);
  if (milliseconds !== null) return milliseconds;
  throw new AmbitError('SETTINGS_INVALID', '--wait is not a time such as 90s or 5m');
}

export function choiceOf(flags: Omit<ClusterFlags, 'namespace'>, { environment }: CommandContext): KubeconfigChoice {
  return { file: flags.kubeconfig ?? null, context: flags.context ?? null, environment };
}

/** Runs with a client of the cluster, until it is done or interrupted. */
export async function withCluster(
  flags: Omit<ClusterFlags, 'namespace'>,
  context: CommandContext,
  work: (tools: InstallerTools) => Promise<void>,
): Promise<void> {
  const access = await kubeconfigAccess(choiceOf(flags, context));
  const api = new KubeClient({ access, timers: waitingTimers, userAgent: `ambit/${context.version}` });
  const interrupted = new AbortController();
  setMaxListeners(0, interrupted.signal);
  const interrupt = (): void => {
    interrupted.abort(new AmbitError('INTERRUPTED', 'interrupted; the same command goes on where it stopped'));
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const report = (line: string): void => {
    context.output(`${line}\n`);
  };
  try {
    await work({ api, timers: waitingTimers, signal: interrupted.signal, report });
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
    api.close();
  }
}

/** Unlike a server's, these keep the process: between two looks at the cluster nothing else does. */
const waitingTimers: Timers = {
  now: () => Date.now(),
  after: (milliseconds, callback) => {
    const timer = setTimeout(callback, milliseconds);
    return () => {
      clearTimeout(timer);
    };
  },
};
