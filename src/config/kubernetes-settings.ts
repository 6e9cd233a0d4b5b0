import { optional } from './setting-definition.ts';
import type { Definition } from './setting-definition.ts';
import { absolutePath, apiServer, pattern, switchedOn } from './setting-parsers.ts';

/** How an agent takes part in a cluster. */
export interface KubernetesSettings {
  /** The pods of this node come from the API server, and the CNI plugin asks for new ones. */
  readonly kubernetes: boolean;
  /** null: that of the cluster whose pod this agent is. */
  readonly kubernetesApi: string | null;
  /** The same path in the agent and on the node: the CNI plugin reads it. */
  readonly runDir: string;
  readonly hostProc: string;
  /** null: that of PID 1 in `hostProc`. */
  readonly nodeNetns: string | null;
  /** null: the plugin is not installed. */
  readonly cniBinDir: string | null;
  readonly cniConfDir: string | null;
  readonly daemonSet: string;
}

type Definitions = { readonly [Key in keyof KubernetesSettings]: Definition<KubernetesSettings[Key]> };

const name = pattern(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, 'a name of Kubernetes');

export const kubernetesDefinitions: Definitions = {
  kubernetes: optional(
    'kubernetes',
    'BOOLEAN',
    'false',
    'Take the pods of this node from the API server of its cluster; needs --control.',
    switchedOn,
  ),
  kubernetesApi: optional(
    'kubernetes-api',
    'URL',
    null,
    'API server, where this is no pod of the cluster: a proxy of this machine such as http://127.0.0.1:8001.',
    apiServer,
  ),
  runDir: optional(
    'run-dir',
    'DIR',
    '/var/run/ambit',
    'Folder of the CNI plugin’s socket and its list of namespaces; the same path on the node.',
    absolutePath,
  ),
  hostProc: optional('host-proc', 'DIR', '/proc', 'Where the node’s /proc is seen.', absolutePath),
  nodeNetns: optional(
    'node-netns',
    'PATH',
    null,
    'Network namespace of the node, from which the kubelet probes; under --kubernetes that of PID 1, else the agent’s own.',
    absolutePath,
  ),
  cniBinDir: optional(
    'cni-bin-dir',
    'DIR',
    null,
    'Where the node’s CNI plugins are seen; with --cni-conf-dir the plugin is installed.',
    absolutePath,
  ),
  cniConfDir: optional(
    'cni-conf-dir',
    'DIR',
    null,
    'Where the node’s CNI configuration is seen; with --cni-bin-dir the plugin is installed.',
    absolutePath,
  ),
  daemonSet: optional(
    'daemon-set',
    'NAME',
    'ztunnel',
    'DaemonSet of this agent: when that goes, the node is left as it was.',
    name,
  ),
};

/** What cannot be together, or is missing together. */
export function kubernetesMistakes(settings: {
  readonly kubernetes: unknown;
  readonly control: unknown;
  readonly manifests: unknown;
  readonly cniBinDir: unknown;
  readonly cniConfDir: unknown;
}): readonly string[] {
  const { kubernetes, control, manifests, cniBinDir, cniConfDir } = settings;
  const mistakes: string[] = [];
  if (kubernetes === true && control === null) mistakes.push('--kubernetes needs --control');
  if (kubernetes === true && manifests !== null) {
    mistakes.push('--manifests: with --kubernetes the API server tells which pods this node has');
  }
  if ((cniBinDir === null) !== (cniConfDir === null)) mistakes.push('--cni-bin-dir and --cni-conf-dir belong together');
  return mistakes;
}
