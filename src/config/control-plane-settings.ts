import { isIP } from 'node:net';
import { z } from 'zod';
import { logDefinitions } from './log-settings.ts';
import { optional, required } from './setting-definition.ts';
import { certificateLifetime, nodeName, path, port, switchedOn, waitingTime } from './setting-parsers.ts';
import type { Parser } from './setting-parsers.ts';
import { SettingTable } from './setting-table.ts';

/** Everything that is set for `ambit control`, parsed. Times are milliseconds. */
export interface ControlPlaneSettings {
  /** null: the mesh is that of the cluster. */
  readonly manifests: string | null;
  /** The mesh is that of the cluster in which this process is a pod. */
  readonly kubernetes: boolean;
  readonly stateDir: string;
  /** null: a root of its own, in the state folder. */
  readonly ca: string | null;
  readonly address: string;
  readonly xdsPort: number;
  readonly plaintextPort: number;
  readonly metricsPort: number;
  readonly debugAddress: string;
  readonly debugPort: number;
  /** In a cluster. */
  readonly webhookPort: number;
  readonly podName: string;
  readonly podNamespace: string;
  /** Service account of the agents, in the namespace of this pod. */
  readonly agentAccount: string;
  /** Names and addresses for the own certificate, beside the usual ones. */
  readonly names: readonly string[];
  readonly certificateTtl: number;
  readonly maximumCertificateTtl: number;
  readonly connectionAge: number;
  readonly manifestPoll: number;
  /** Of the pods of waypoints in a cluster. */
  readonly waypointImage: string;
  readonly waypointPullPolicy: PullPolicy;
  readonly waypointPullSecrets: readonly string[];
  readonly waypointResources: ContainerResources;
  readonly waypointDrain: number;
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug';
  readonly logFormat: 'json' | 'plain';
}

/** Of a container, as Kubernetes has them. */
export interface ContainerResources {
  readonly requests: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
}

export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

const stateDirMeaning = 'Folder for the key of tokens, the CA where none is given, and the last good manifests.';
const hostPattern = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;

const address: Parser<string> = (text) =>
  isIP(text) === 0 ? { ok: false, expected: 'an address, such as :: or 0.0.0.0 for all' } : { ok: true, value: text };

const names: Parser<readonly string[]> = (text) => {
  const found = text.split(',').filter((name) => name !== '');
  const good = found.every((name) => isIP(name) !== 0 || hostPattern.test(name));
  return good ? { ok: true, value: found } : { ok: false, expected: 'host names and addresses, separated by commas' };
};

const image: Parser<string> = (text) =>
  /^[\w.:/@-]+$/.test(text) ? { ok: true, value: text } : { ok: false, expected: 'the name of an image, with its tag' };

const pullPolicy: Parser<PullPolicy> = (text) => {
  const found = (['Always', 'IfNotPresent', 'Never'] as const).find((policy) => policy === text);
  return found === undefined ? { ok: false, expected: 'Always, IfNotPresent or Never' } : { ok: true, value: found };
};

const secrets: Parser<readonly string[]> = (text) => {
  const found = text.split(',').filter((name) => name !== '');
  const good = found.every((name) => /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name));
  return good ? { ok: true, value: found } : { ok: false, expected: 'names of Secrets, separated by commas' };
};

const quantities = z.record(z.string(), z.string()).default({});
const containerResources = z.strictObject({ requests: quantities, limits: quantities });

const resources: Parser<ContainerResources> = (text) => {
  const reading = containerResources.safeParse(parseJson(text));
  return reading.success
    ? { ok: true, value: reading.data }
    : { ok: false, expected: 'JSON such as {"requests":{"cpu":"100m"},"limits":{}}' };
};

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export const controlPlaneSettings = new SettingTable<ControlPlaneSettings>(
  {
    manifests: optional('manifests', 'PATH', null, 'File or folder (*.yaml, *.yml, *.json) with the manifests.', path),
    kubernetes: optional(
      'kubernetes',
      'true|false',
      'false',
      'Serve the mesh of the cluster in which this is a pod, in place of manifests.',
      switchedOn,
    ),
    stateDir: optional('state-dir', 'DIR', '/var/lib/ambit/control', stateDirMeaning, path),
    ca: optional('ca', 'DIR', null, 'CA folder (made by `ambit ca init`, or in the form of Istio’s cacerts).', path),
    address: optional(
      'address',
      'ADDRESS',
      '::',
      'Where xDS, the CA and metrics are served; :: is every address.',
      address,
    ),
    xdsPort: optional('xds-port', 'PORT', '15012', 'xDS and CA over TLS; 0: any free port.', port),
    plaintextPort: optional(
      'plaintext-port',
      'PORT',
      '15010',
      'xDS without TLS, on localhost; 0: any free port.',
      port,
    ),
    metricsPort: optional('metrics-port', 'PORT', '15014', 'Prometheus metrics; 0: any free port.', port),
    debugAddress: optional(
      'debug-address',
      'ADDRESS',
      '127.0.0.1',
      'Where readiness and debug pages are served.',
      address,
    ),
    debugPort: optional('debug-port', 'PORT', '8080', 'GET /ready and /debug/…; 0: any free port.', port),
    webhookPort: optional('webhook-port', 'PORT', '15017', 'Validating webhook of a cluster; 0: any free port.', port),
    podName: optional('pod-name', 'NAME', 'ambit-control', 'Name of the pod of this process.', nodeName, ['POD_NAME']),
    podNamespace: optional('pod-namespace', 'NAME', 'istio-system', 'Its namespace.', nodeName, ['POD_NAMESPACE']),
    agentAccount: optional(
      'agent-account',
      'NAME',
      'ztunnel',
      'Service account of the agents, in the same namespace.',
      nodeName,
    ),
    names: optional('names', 'NAMES', '', 'More names and addresses by which agents reach this process.', names),
    certificateTtl: optional(
      'certificate-ttl',
      'TIME',
      '24h',
      'Life of a certificate, where none is asked for.',
      certificateLifetime,
    ),
    maximumCertificateTtl: optional(
      'max-certificate-ttl',
      'TIME',
      '7d',
      'Longest life of a certificate.',
      certificateLifetime,
    ),
    connectionAge: optional(
      'connection-age',
      'TIME',
      '30m',
      'About how long a stream lives before its client comes back.',
      waitingTime(1000),
    ),
    manifestPoll: optional(
      'manifest-poll',
      'TIME',
      '30s',
      'How often manifests are looked at without a notice.',
      waitingTime(100),
    ),
    waypointImage: optional(
      'waypoint-image',
      'IMAGE',
      'docker.io/envoyproxy/envoy:distroless-v1.40.0',
      'Envoy of the waypoints that are deployed in a cluster; its entry point must be the program.',
      image,
    ),
    waypointPullPolicy: optional(
      'waypoint-pull-policy',
      'POLICY',
      'IfNotPresent',
      'When nodes fetch that image: Always, IfNotPresent, Never.',
      pullPolicy,
    ),
    waypointPullSecrets: optional(
      'waypoint-pull-secrets',
      'NAMES',
      '',
      'Secrets for fetching it, in the namespaces of the waypoints.',
      secrets,
    ),
    waypointResources: optional(
      'waypoint-resources',
      'JSON',
      '{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"cpu":"2","memory":"1Gi"}}',
      'What a pod of a waypoint asks for, and may have at most.',
      resources,
    ),
    waypointDrain: optional(
      'waypoint-drain',
      'TIME',
      '20s',
      'How long a pod of a waypoint goes on serving when it is to end.',
      waitingTime(1000),
    ),
    ...logDefinitions,
  },
  ({ manifests, kubernetes }) => {
    if (manifests === null && !kubernetes)
      return ['--manifests (or AMBIT_MANIFESTS) is missing; or say --kubernetes true'];
    return manifests !== null && kubernetes ? ['--manifests and --kubernetes true exclude each other'] : [];
  },
);

/** What `ambit control token` needs. */
export interface TokenSettings {
  readonly node: string;
  readonly pod: string | null;
  readonly stateDir: string;
  readonly lifetime: number;
}

const podName: Parser<string> = (text) =>
  /^[a-z0-9][-a-z0-9.]{0,252}\/[a-z0-9][-a-z0-9.]{0,252}$/.test(text)
    ? { ok: true, value: text }
    : { ok: false, expected: 'NAMESPACE/NAME' };

const tokenLife: Parser<number> = (text) => {
  const days = /^([1-9]\d{0,2})d$/.exec(text);
  if (days !== null && Number(days[1]) <= 366) return { ok: true, value: Number(days[1]) * 86_400_000 };
  const waited = waitingTime(1000)(text);
  return waited.ok ? waited : { ok: false, expected: 'a time such as 1h or 30d, at most 366d' };
};

export const tokenSettings = new SettingTable<TokenSettings>({
  node: required('node', 'NAME', 'Node whose agent gets the token.', nodeName),
  pod: optional('pod', 'NAMESPACE/NAME', null, 'The token is this pod’s, for its own identity alone.', podName),
  stateDir: optional('state-dir', 'DIR', '/var/lib/ambit/control', stateDirMeaning, path),
  lifetime: optional('lifetime', 'TIME', '30d', 'How long the token is good.', tokenLife),
});
