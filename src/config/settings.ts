import { AmbitError } from './errors.ts';
import {
  absolutePath,
  accessLogTarget,
  certificateLifetime,
  nodeName,
  oneOf,
  path,
  port,
  relativeFolder,
  threadCount,
  waitingTime,
} from './setting-parsers.ts';
import type { Parsed } from './setting-parsers.ts';
import { controlDefinitions, controlMistakes } from './control-settings.ts';
import type { ControlSettings } from './control-settings.ts';
import { optional, required } from './setting-definition.ts';
import type { Definition } from './setting-definition.ts';

/** Everything that is set per agent, parsed. Times are milliseconds. */
export interface AgentSettings extends ControlSettings {
  readonly node: string;
  /** With a control plane: the pods of this node; else the whole mesh. null: the control plane names the pods, too. */
  readonly manifests: string | null;
  /** null: no folder was given, so no certificates are signed here. */
  readonly ca: string | null;
  readonly stateDir: string | null;
  readonly bpffs: string;
  /** null: the agent finds the mount point itself. */
  readonly cgroupRoot: string | null;
  readonly podsCgroup: string | null;
  readonly threads: number;
  readonly accessLog: string;
  readonly accessLogFormat: 'json' | 'plain';
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug';
  readonly logFormat: 'json' | 'plain';
  readonly adminPort: number;
  readonly metricsPort: number;
  readonly readinessPort: number;
  readonly drainDeadline: number;
  readonly certificateTtl: number;
  readonly questionTimeout: number;
  readonly connectTimeout: number;
  readonly manifestPoll: number;
}

/** One row of the settings table, as `--help` and the reference print it. */
export interface SettingDescription {
  /** The field of AgentSettings, which is also the attribute that commander makes of the flag. */
  readonly key: keyof AgentSettings;
  readonly flag: string;
  readonly environment: string;
  /** Variables of the Istio world that are read where ours is not set. */
  readonly aliases: readonly string[];
  /** Name of the value in `--help`. */
  readonly value: string;
  /** As a user would write it; null: none. */
  readonly default: string | null;
  readonly required: boolean;
  readonly meaning: string;
}

/** Raw values by the setting's key; what commander gives for options without defaults of their own. */
export type SettingFlags = Readonly<Record<string, unknown>>;
export type Environment = Readonly<Record<string, string | undefined>>;

type Definitions = { readonly [Key in keyof AgentSettings]: Definition<AgentSettings[Key]> };

const definitions: Definitions = {
  node: required('node', 'NAME', 'Name of this node, as the manifests spell it in spec.nodeName.', nodeName, [
    'NODE_NAME',
  ]),
  manifests: optional(
    'manifests',
    'PATH',
    null,
    'File or folder (*.yaml, *.yml, *.json) with the manifests; with --control those of the pods of this node.',
    path,
  ),
  ...controlDefinitions,
  ca: optional('ca', 'DIR', null, 'CA folder made by `ambit ca init`, from which pods get their certificates.', path),
  stateDir: optional('state-dir', 'DIR', null, 'Folder that keeps the last good manifests over restarts.', path),
  bpffs: optional('bpffs', 'DIR', '/sys/fs/bpf', 'Mount point of the bpffs for pinned links and maps.', absolutePath),
  cgroupRoot: optional(
    'cgroup-root',
    'DIR',
    null,
    'Mount point of cgroup2; found by itself if not given.',
    absolutePath,
  ),
  podsCgroup: optional(
    'pods-cgroup',
    'PATH',
    null,
    'cgroup folder of the pods, relative to --cgroup-root; its processes never count as the probers of the node.',
    relativeFolder,
  ),
  threads: optional('threads', 'N', '0', 'Threads that move bytes, 1 to 4; 0: one per core, at most 4.', threadCount),
  accessLog: optional('access-log', 'TARGET', 'stdout', 'A file, `stdout` or `off`.', accessLogTarget),
  accessLogFormat: optional('access-log-format', 'FORMAT', 'json', 'json or plain.', oneOf('json', 'plain')),
  logLevel: optional(
    'log-level',
    'LEVEL',
    'info',
    'error, warn, info or debug.',
    oneOf('error', 'warn', 'info', 'debug'),
  ),
  logFormat: optional('log-format', 'FORMAT', 'json', 'json or plain.', oneOf('json', 'plain')),
  adminPort: optional('admin-port', 'PORT', '15000', 'Admin pages, on localhost; 0: any free port.', port),
  metricsPort: optional('metrics-port', 'PORT', '15020', 'Prometheus metrics; 0: any free port.', port),
  readinessPort: optional('readiness-port', 'PORT', '15021', 'GET /healthz/ready; 0: any free port.', port),
  drainDeadline: optional(
    'drain-deadline',
    'TIME',
    '25s',
    'How long open connections may go on after SIGTERM.',
    waitingTime(0),
  ),
  certificateTtl: optional(
    'certificate-ttl',
    'TIME',
    '24h',
    'Life of a pod certificate, 5m to 7d.',
    certificateLifetime,
    ['SECRET_TTL'],
  ),
  questionTimeout: optional(
    'question-timeout',
    'TIME',
    '5s',
    'How long a new flow waits for its decision.',
    waitingTime(1),
  ),
  connectTimeout: optional(
    'connect-timeout',
    'TIME',
    '10s',
    'How long a handshake or a dial may take.',
    waitingTime(1),
  ),
  manifestPoll: optional(
    'manifest-poll',
    'TIME',
    '30s',
    'How often manifests are looked at without a notice.',
    waitingTime(100),
  ),
};

const keys = Object.keys(definitions) as (keyof AgentSettings)[];

/** The settings table in the order of `--help`. */
export const agentSettingTable: readonly SettingDescription[] = keys.map((key) => describe(key));

/**
 * Flags win over the environment, which wins over defaults; an empty variable counts as not set. Every mistake is
 * found before the first is reported.
 *
 * @throws AmbitError `SETTINGS_INVALID` that names every setting that is wrong and what it may be.
 */
export function resolveAgentSettings(flags: SettingFlags, environment: Environment): AgentSettings {
  const mistakes: string[] = [];
  const entries = keys.map((key) => [key, resolve(key, flags, environment, mistakes)] as const);
  // Each entry was parsed by the definition of its own key, which the mapped type ties to the field's type.
  const settings = Object.fromEntries(entries) as unknown as AgentSettings;
  mistakes.push(...controlMistakes(settings));
  if (mistakes.length > 0) {
    throw new AmbitError('SETTINGS_INVALID', `${count(mistakes.length)} wrong:\n  ${mistakes.join('\n  ')}`);
  }
  return settings;
}

function resolve(
  key: keyof AgentSettings,
  flags: SettingFlags,
  environment: Environment,
  mistakes: string[],
): AgentSettings[keyof AgentSettings] {
  const definition = definitions[key];
  const given =
    rawValue(flags[key], `--${definition.flag}`) ??
    firstSet([definition.environment, ...definition.aliases], environment);
  const raw = given?.text ?? definition.default;
  if (raw === null) {
    if (definition.required)
      mistakes.push(`--${definition.flag} (or ${definition.environment}) is missing: ${definition.meaning}`);
    return null;
  }
  const parsed: Parsed<AgentSettings[keyof AgentSettings]> = definition.parse(raw);
  if (parsed.ok) return parsed.value;
  mistakes.push(`${given?.origin ?? `--${definition.flag}`}: ${JSON.stringify(raw)} is not ${parsed.expected}`);
  return null;
}

function firstSet(names: readonly string[], environment: Environment): ReturnType<typeof rawValue> {
  const name = names.find((candidate) => (environment[candidate] ?? '') !== '');
  return name === undefined ? null : rawValue(environment[name], name);
}

function rawValue(value: unknown, origin: string): { readonly text: string; readonly origin: string } | null {
  if (typeof value === 'number') return { text: String(value), origin };
  return typeof value === 'string' && value !== '' ? { text: value, origin } : null;
}

function describe(key: keyof AgentSettings): SettingDescription {
  const { flag, environment, aliases, value, default: fallback, required: needed, meaning } = definitions[key];
  return { key, flag, environment, aliases, value, default: fallback, required: needed, meaning };
}

function count(mistakes: number): string {
  return mistakes === 1 ? 'One setting is' : `${mistakes} settings are`;
}
