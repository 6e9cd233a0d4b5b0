import { AmbitError } from './errors.ts';
import { isTrustDomain } from '../model/identity.ts';
import { optional } from './setting-definition.ts';
import type { Definition } from './setting-definition.ts';
import { controlEndpoint, path, pattern, switchedOn } from './setting-parsers.ts';
import type { ControlEndpoint } from './setting-parsers.ts';

/** Whatever JSON can say. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue };

/** How an agent meets its control plane; what is named after a variable of the ztunnel chart means what it means there. */
export interface ControlSettings {
  /** null: the mesh is read from manifests. */
  readonly control: ControlEndpoint | null;
  /** null: where the control plane is. */
  readonly caAddress: ControlEndpoint | null;
  readonly tokenFile: string;
  /** PEM file, PEM itself, or `SYSTEM`. */
  readonly rootFile: string;
  /** null: the same as `rootFile`. */
  readonly caRootFile: string | null;
  readonly controlName: string | null;
  readonly caName: string | null;
  readonly podName: string;
  readonly podNamespace: string;
  readonly instanceIp: string;
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly clusterDomain: string;
  readonly network: string;
  readonly xdsOnDemand: boolean;
}

const hostname = pattern(/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/, 'a host name');
const label = pattern(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, 'a name of Kubernetes');
const address = pattern(/^[0-9a-fA-F.:]{2,45}$/, 'an IP address');
const word = pattern(/^[A-Za-z0-9]([-A-Za-z0-9._]{0,251}[A-Za-z0-9])?$/, 'letters, digits, `-`, `_` and `.`');
const networkName = pattern(/^[-A-Za-z0-9._]{0,253}$/, 'letters, digits, `-`, `_` and `.`');
const domain = pattern({ test: isTrustDomain }, 'a SPIFFE trust domain');

type Definitions = { readonly [Key in keyof ControlSettings]: Definition<ControlSettings[Key]> };

export const controlDefinitions: Definitions = {
  control: optional(
    'control',
    'ADDRESS',
    null,
    'Control plane, HOST:PORT: tells of the whole mesh and signs certificates.',
    controlEndpoint,
    ['XDS_ADDRESS'],
  ),
  caAddress: optional('ca-address', 'ADDRESS', null, 'CA, where it is not the control plane.', controlEndpoint, [
    'CA_ADDRESS',
  ]),
  tokenFile: optional(
    'token-file',
    'FILE',
    '/var/run/secrets/tokens/istio-token',
    'Token that proves to the control plane which node this is; read anew for each connection.',
    path,
    ['AUTH_TOKEN'],
  ),
  rootFile: optional(
    'root-file',
    'FILE',
    '/var/run/secrets/istio/root-cert.pem',
    'PEM of the roots that the control plane is trusted by, a file (watched) or the text itself; or SYSTEM.',
    path,
    ['XDS_ROOT_CA'],
  ),
  caRootFile: optional('ca-root-file', 'FILE', null, 'Likewise for the CA; --root-file if not given.', path, [
    'CA_ROOT_CA',
  ]),
  controlName: optional('control-name', 'NAME', null, 'Name in the certificate of the control plane.', hostname, [
    'ALT_XDS_HOSTNAME',
  ]),
  caName: optional('ca-name', 'NAME', null, 'Name in the certificate of the CA.', hostname, ['ALT_CA_HOSTNAME']),
  podName: optional('pod-name', 'NAME', 'ambit', 'Name of the pod of this agent.', label, ['POD_NAME']),
  podNamespace: optional('pod-namespace', 'NAME', 'istio-system', 'Its namespace.', label, ['POD_NAMESPACE']),
  instanceIp: optional('instance-ip', 'ADDRESS', '1.1.1.1', 'Its address.', address, ['INSTANCE_IP']),
  trustDomain: optional('trust-domain', 'NAME', 'cluster.local', 'Trust domain under a stock control plane.', domain, [
    'TRUST_DOMAIN',
  ]),
  clusterId: optional('cluster-id', 'NAME', 'Kubernetes', 'Name of this cluster under a stock control plane.', word, [
    'ISTIO_META_CLUSTER_ID',
    'CLUSTER_ID',
  ]),
  clusterDomain: optional(
    'cluster-domain',
    'NAME',
    'cluster.local',
    'DNS domain of this cluster, likewise.',
    hostname,
    ['CLUSTER_DOMAIN'],
  ),
  network: optional('network', 'NAME', '', 'Network of this cluster, likewise.', networkName, ['NETWORK']),
  xdsOnDemand: optional(
    'xds-on-demand',
    'BOOLEAN',
    'false',
    'Ask the control plane for addresses when they are first used, instead of keeping the whole mesh in memory.',
    switchedOn,
    ['XDS_ON_DEMAND'],
  ),
};

/**
 * Metadata of the node beyond what settings say: `ISTIO_META_NAME=value` becomes `NAME: value`, and what
 * `ISTIO_METAJSON_NAME` holds is read as JSON.
 *
 * @throws AmbitError `SETTINGS_INVALID` where that is no JSON
 */
export function nodeMetadata(environment: Readonly<Record<string, string | undefined>>): Record<string, JsonValue> {
  const metadata: Record<string, JsonValue> = {};
  for (const [variable, value = ''] of Object.entries(environment)) {
    const [, json, name] = /^ISTIO_META(JSON)?_(.+)$/s.exec(variable) ?? [];
    if (name === undefined) continue;
    metadata[name] = json === undefined ? value : parseJson(variable, value);
  }
  return metadata;
}

function parseJson(variable: string, text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    throw new AmbitError('SETTINGS_INVALID', `${variable} is not JSON`);
  }
}

/** What cannot be together, or is missing together. */
export function controlMistakes(settings: {
  readonly control: unknown;
  readonly caAddress: unknown;
  readonly manifests: unknown;
  readonly ca: unknown;
}): readonly string[] {
  const { control, caAddress, manifests, ca } = settings;
  const mistakes: string[] = [];
  if (control === null && manifests === null) {
    mistakes.push('--manifests (or AMBIT_MANIFESTS) is missing; or name a control plane with --control');
  }
  if (control !== null && ca !== null)
    mistakes.push('--ca: with --control certificates come from there, or --ca-address');
  if (control === null && caAddress !== null) mistakes.push('--ca-address needs --control');
  return mistakes;
}
