import { existsSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { AmbitError } from '../config/errors.ts';
import { inClusterAccess } from '../kube/cluster-access.ts';
import type { ClusterAccess } from '../kube/cluster-access.ts';

export interface KubeconfigChoice {
  /** A file; null: those of KUBECONFIG, else ~/.kube/config, else the pod's own service account. */
  readonly file: string | null;
  /** Null: the file's own choice. */
  readonly context: string | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Whether there is anything that says where a cluster is. */
export function knowsCluster(choice: KubeconfigChoice): boolean {
  return filesOf(choice).length > 0 || choice.environment['KUBERNETES_SERVICE_HOST'] !== undefined;
}

/**
 * Access as kubectl has it, with programs that hand out credentials.
 *
 * @throws AmbitError `KUBECONFIG_UNUSABLE`, `KUBERNETES_UNKNOWN`
 */
export async function kubeconfigAccess(choice: KubeconfigChoice): Promise<ClusterAccess> {
  const files = filesOf(choice);
  if (files.length === 0 && choice.context === null) return inClusterAccess(choice.environment);
  const config = await load(files, choice.context);
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    const names = config.getContexts().map(({ name }) => name);
    const advice = names.length === 0 ? 'it has no contexts' : `choose one with --context: ${names.join(', ')}`;
    throw unusable(`${describeFiles(files)} leads to no cluster; ${advice}`);
  }
  if (cluster.proxyUrl !== undefined && cluster.proxyUrl !== '') {
    throw unusable(
      `the cluster ${cluster.name} is behind proxy-url, which is not supported: use \`ambit manifest generate\` with kubectl`,
    );
  }
  return accessOf(config, cluster.server);
}

/** Where commands act that are not told; of the pod's own account nothing is known. @throws AmbitError `KUBECONFIG_UNUSABLE` */
export async function kubeconfigNamespace(choice: KubeconfigChoice): Promise<string> {
  const files = filesOf(choice);
  if (files.length === 0) return 'default';
  const config = await load(files, choice.context);
  return config.getContextObject(config.getCurrentContext())?.namespace ?? 'default';
}

function filesOf({ file, environment }: KubeconfigChoice): readonly string[] {
  if (file !== null) return [file];
  const named = (environment['KUBECONFIG'] ?? '').split(delimiter).filter((name) => name !== '');
  if (named.length > 0) return named;
  const usual = join(environment['HOME'] ?? homedir(), '.kube', 'config');
  return existsSync(usual) ? [usual] : [];
}

async function load(files: readonly string[], context: string | null): Promise<KubeConfig> {
  // Costs 80 MB and half a second: only commands that talk to a cluster from outside pay for it.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  try {
    const [first = '', ...others] = files;
    config.loadFromFile(first);
    for (const name of others) {
      const more = new KubeConfig();
      more.loadFromFile(name);
      config.mergeConfig(more, true);
    }
  } catch (cause) {
    throw unusable(`${describeFiles(files)} cannot be read`, cause);
  }
  if (context !== null) {
    if (config.getContextObject(context) === null) throw unusable(`${describeFiles(files)} has no context ${context}`);
    config.setCurrentContext(context);
  }
  return config;
}

/** Certificates are those of now; a token is asked for with each connection, because programs renew theirs. */
async function accessOf(config: KubeConfig, server: string): Promise<ClusterAccess> {
  const options = await optionsOf(config);
  const { ca, cert, key, rejectUnauthorized, servername } = options;
  return {
    server,
    certificateAuthority: () => Promise.resolve(textOf(ca)),
    clientCertificate: cert && key ? { certificate: textOf(cert) ?? '', key: textOf(key) ?? '' } : null,
    token: async () => bearerOf(await optionsOf(config)),
    ...(typeof servername === 'string' ? { serverName: servername } : {}),
    ...(rejectUnauthorized === false ? { insecure: true } : {}),
  };
}

async function optionsOf(config: KubeConfig): Promise<RequestOptions> {
  const options: RequestOptions = { headers: {} };
  try {
    await config.applyToHTTPSOptions(options);
  } catch (cause) {
    throw unusable(`there are no credentials for the context ${config.getCurrentContext()}`, cause);
  }
  return options;
}

function bearerOf({ headers }: RequestOptions): string | null {
  const value: unknown = headers === undefined ? undefined : Reflect.get(headers, 'Authorization');
  return typeof value === 'string' && value.startsWith('Bearer ') ? value.slice('Bearer '.length) : null;
}

/** The library gives PEM, as text or as bytes. */
function textOf(value: unknown): string | null {
  return typeof value === 'string' || Buffer.isBuffer(value) ? value.toString() : null;
}

function describeFiles(files: readonly string[]): string {
  return `the kubeconfig ${files.join(delimiter)}`;
}

function unusable(message: string, cause?: unknown): AmbitError {
  return new AmbitError('KUBECONFIG_UNUSABLE', message, cause === undefined ? {} : { cause });
}
