import {
  absolutePath,
  accessLogTarget,
  certificateLifetime,
  keptAge,
  nameServers,
  nodeName,
  oneOf,
  path,
  port,
  relativeFolder,
  switchedOn,
  threadCount,
  waitingTime,
} from './setting-parsers.ts';
import { accessLogConditions, samplingShare } from './access-log-filter.ts';
import type { AccessLogConditions } from './access-log-filter.ts';
import { withoutLiteralToken } from './control-credentials.ts';
import { controlDefinitions, controlMistakes } from './control-settings.ts';
import type { ControlSettings } from './control-settings.ts';
import { kubernetesDefinitions, kubernetesMistakes } from './kubernetes-settings.ts';
import type { KubernetesSettings } from './kubernetes-settings.ts';
import { logDefinitions } from './log-settings.ts';
import { optional, required } from './setting-definition.ts';
import { SettingTable } from './setting-table.ts';
import type { Environment, SettingFlags, SettingRow } from './setting-table.ts';

/** Everything that is set per agent, parsed. Times are milliseconds. */
export interface AgentSettings extends ControlSettings, KubernetesSettings {
  readonly node: string;
  /** With a control plane: the pods of this node; else the whole mesh. null: the control plane names the pods, too. */
  readonly manifests: string | null;
  /** null: no folder was given, so no certificates are signed here. */
  readonly ca: string | null;
  readonly stateDir: string | null;
  readonly stateMaxAge: number;
  /** Program of Envoy; null: waypoints bring their proxies themselves. */
  readonly envoy: string | null;
  readonly bpffs: string;
  /** null: the agent finds the mount point itself. */
  readonly cgroupRoot: string | null;
  readonly podsCgroup: string | null;
  readonly threads: number;
  /** Of pods that say nothing themselves. */
  readonly dnsCapture: boolean;
  readonly accessLog: string;
  readonly accessLogFormat: 'json' | 'plain';
  /** Of 10,000 connections that ended well. */
  readonly accessLogSampling: number;
  readonly accessLogFilter: AccessLogConditions;
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug';
  readonly logFormat: 'json' | 'plain';
  readonly adminPort: number;
  readonly metricsPort: number;
  readonly readinessPort: number;
  readonly drainDeadline: number;
  readonly certificateTtl: number;
  readonly questionTimeout: number;
  /** `ADDRESS` or `ADDRESS:PORT`; null: those of the machine. */
  readonly nameServers: readonly string[] | null;
  readonly connectTimeout: number;
  readonly manifestPoll: number;
}

const table = new SettingTable<AgentSettings>(
  {
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
    ...kubernetesDefinitions,
    ca: optional('ca', 'DIR', null, 'CA folder made by `ambit ca init`, from which pods get their certificates.', path),
    stateDir: optional(
      'state-dir',
      'DIR',
      null,
      'Folder that keeps over restarts the last good manifests, or what the control plane has said.',
      path,
    ),
    stateMaxAge: optional(
      'state-max-age',
      'TIME',
      '24h',
      'How old what the control plane has said may be at a start without it, 1m to 7d.',
      keptAge,
    ),
    envoy: optional(
      'envoy',
      'FILE',
      null,
      'Program of Envoy, which the agent runs in the network namespace of each waypoint’s and gateway’s pod; needs --control.',
      absolutePath,
    ),
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
    dnsCapture: optional(
      'dns-capture',
      'true|false',
      'false',
      'Answers name queries of pods from the names of the mesh; pods and namespaces may say otherwise.',
      switchedOn,
      ['ISTIO_META_DNS_CAPTURE'],
    ),
    accessLog: optional('access-log', 'TARGET', 'stdout', 'A file, `stdout` or `off`.', accessLogTarget),
    accessLogFormat: optional('access-log-format', 'FORMAT', 'json', 'json or plain.', oneOf('json', 'plain')),
    accessLogSampling: optional(
      'access-log-sampling',
      'PERCENT',
      '100',
      'Share of the connections that ended well; all others are always told of.',
      samplingShare,
    ),
    accessLogFilter: optional(
      'access-log-filter',
      'CONDITIONS',
      'all',
      'errors, denied, direction=inbound, direction=outbound, namespace=NAME, by commas; `all` for none.',
      accessLogConditions,
    ),
    ...logDefinitions,
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
      'Life of a pod certificate, 1m to 7d.',
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
    nameServers: optional(
      'name-servers',
      'ADDRESSES',
      null,
      'Who is asked for the names of endpoints, also by proxies that the agent runs, ADDRESS or ADDRESS:PORT, by commas; those of the machine if not given.',
      nameServers,
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
  },
  (settings) => [...controlMistakes(settings), ...kubernetesMistakes(settings), ...envoyMistakes(settings)],
);

function envoyMistakes(settings: Pick<AgentSettings, 'envoy' | 'control' | 'kubernetes'>): readonly string[] {
  const { envoy, control, kubernetes } = settings;
  const mistakes: string[] = [];
  if (envoy !== null && control === null) mistakes.push('--envoy needs --control, which configures it');
  if (envoy !== null && kubernetes) {
    mistakes.push('--envoy: in a cluster the pods of waypoints bring their proxies themselves');
  }
  return mistakes;
}

/** The settings table in the order of `--help`. */
export const agentSettingTable: readonly SettingRow<keyof AgentSettings>[] = table.rows;

/** @throws AmbitError `SETTINGS_INVALID` that names every setting that is wrong and what it may be. */
export function resolveAgentSettings(flags: SettingFlags, environment: Environment): AgentSettings {
  return table.resolve(flags, withoutLiteralToken(environment));
}
