import { leaderLease } from '../../control/kubernetes/names.ts';
import { ownSecret, rootKeySecret } from '../../control/kubernetes/authority-secret.ts';
import { rootConfigMap } from '../../control/kubernetes/root-publisher.ts';
import { AmbitError } from '../../config/errors.ts';
import { isConflict, isNotFound } from '../../kube/kube-error.ts';
import { isKubeObject } from '../../kube/objects.ts';
import { agentSelector } from '../objects/common.ts';
import { apiKinds, nameOf } from './api-kinds.ts';
import type { InstallerTools } from './install.ts';
import { deleteObject, listPath, readObject } from './live-objects.ts';
import type { LiveObject } from './live-objects.ts';
import { installedDefinitions, installedObjects, isOurs, namespacesOf } from './ownership.ts';
import { isMadeHere } from './plan.ts';
import { poll } from './polling.ts';
import { removeWaypoints } from './uninstall-waypoints.ts';

export interface UninstallOptions {
  readonly namespace: string;
  /** Also what users have written, and what the mesh's trust hangs on: custom resources, the CA, roots in every namespace. */
  readonly purge: boolean;
  /** Milliseconds that pods may take to go. */
  readonly wait: number;
}

/** Everything hangs on the agents' orderly end, for which they need their rights and the definitions: they go first. */
const order = Object.keys(apiKinds);

/**
 * Takes away what installing has made. Nodes are left as they were: each agent, seeing its DaemonSet go, takes plugin and hooks out.
 *
 * @throws AmbitError `NOT_INSTALLED`, `PODS_REMAIN`; KubeError
 */
export async function uninstall(tools: InstallerTools, options: UninstallOptions): Promise<void> {
  const { api } = tools;
  const { namespace, purge } = options;
  const present = await installedObjects(api);
  const definitions = purge ? await installedDefinitions(api) : [];
  if (present.length + definitions.length === 0) throw notInstalled();
  refuseOther(namespace, present);
  const inOrder = [...present].sort((left, right) => order.indexOf(left.kind) - order.indexOf(right.kind));
  await removeWorkloads(tools, options, inOrder);
  await removeWaypoints(tools);
  for (const object of inOrder.filter((one) => !isWorkloadKind(one))) await remove(tools, object);
  await removePath(tools, `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${leaderLease}`, 'Lease');
  if (purge) await purgeRest(tools, namespace, definitions);
}

function notInstalled(): AmbitError {
  const advice = 'what Helm has installed, `helm uninstall` removes';
  return new AmbitError('NOT_INSTALLED', `nothing in this cluster was made by \`ambit install\`: ${advice}`);
}

function refuseOther(namespace: string, present: readonly LiveObject[]): void {
  const [other] = namespacesOf(present).filter((name) => name !== namespace);
  if (other === undefined) return;
  throw new AmbitError(
    'INSTALLED_ELSEWHERE',
    `Ambit is installed in the namespace ${other}: give --namespace ${other}`,
  );
}

function isWorkloadKind({ kind }: LiveObject): boolean {
  return kind === 'DaemonSet' || kind === 'Deployment';
}

/** The agents while everything that they need is still there, then the control plane. */
async function removeWorkloads(
  tools: InstallerTools,
  options: UninstallOptions,
  inOrder: readonly LiveObject[],
): Promise<void> {
  const { report } = tools;
  const agents = inOrder.filter(({ kind }) => kind === 'DaemonSet');
  for (const object of agents) await remove(tools, object);
  report('waiting    for the agents to leave their nodes as they were');
  await waitUntilGone(tools, options, agents);
  const control = inOrder.filter(({ kind }) => kind === 'Deployment');
  for (const object of control) await remove(tools, object);
  await waitUntilGone(tools, options, control);
}

async function waitUntilGone(
  { api, timers, signal }: InstallerTools,
  { namespace, wait }: UninstallOptions,
  objects: readonly LiveObject[],
): Promise<void> {
  const labelSelector = `app=${agentSelector.app},app.kubernetes.io/part-of=ambit`;
  let remaining: readonly string[] = [];
  const gone = await poll({ timers, signal, limit: wait }, async () => {
    const live = await Promise.all(objects.map((object) => readObject(api, object)));
    const pods = await listPath(api, `/api/v1/namespaces/${namespace}/pods`, { labelSelector });
    remaining = [...live.filter((object) => object !== null).map(nameOf), ...pods.map(describePod)];
    return remaining.length === 0 ? true : null;
  });
  if (gone !== null) return;
  const advice =
    'their rights were left so that they can still clean up. Run this again when they are gone; pods of a node that is lost for good are removed with `kubectl delete pod --force`';
  throw new AmbitError('PODS_REMAIN', [`not everything went in time; ${advice}:`, ...remaining].join('\n  '));
}

function describePod(pod: unknown): string {
  const { metadata, spec } = pod as {
    readonly metadata: { readonly name: string };
    readonly spec?: { readonly nodeName?: string };
  };
  return `pod ${metadata.name} on ${spec?.nodeName ?? 'no node'}`;
}

async function remove({ api, report }: InstallerTools, object: LiveObject): Promise<void> {
  if (await deleteObject(api, object)) report(`removed    ${nameOf(object)}`);
}

async function purgeRest(tools: InstallerTools, namespace: string, definitions: readonly LiveObject[]): Promise<void> {
  for (const definition of definitions) await remove(tools, definition);
  for (const name of [ownSecret, rootKeySecret]) {
    await removePath(tools, `/api/v1/namespaces/${namespace}/secrets/${name}`, 'Secret');
  }
  await removeRoots(tools);
  await removeNamespace(tools, namespace);
}

/** The roots that the control plane has published. */
async function removeRoots(tools: InstallerTools): Promise<void> {
  const published = await listPath(tools.api, '/api/v1/configmaps', {
    fieldSelector: `metadata.name=${rootConfigMap}`,
  });
  for (const { metadata } of published.filter(isKubeObject)) {
    await removePath(tools, `/api/v1/namespaces/${metadata.namespace ?? ''}/configmaps/${rootConfigMap}`, 'ConfigMap');
  }
}

async function removePath({ api, report }: InstallerTools, path: string, kind: string): Promise<void> {
  try {
    await api.send({ method: 'DELETE', path });
    report(`removed    ${kind} ${path.replace(/^.*\/namespaces\/([^/]+)\/[^/]+\//, '$1/')}`);
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}

/** What each namespace has by itself. */
const own: Readonly<Record<string, readonly string[]>> = {
  '/api/v1 pods': [],
  '/api/v1 services': [],
  '/api/v1 secrets': [],
  '/api/v1 configmaps': ['kube-root-ca.crt', rootConfigMap],
  '/api/v1 serviceaccounts': ['default'],
  '/api/v1 persistentvolumeclaims': [],
  '/apis/apps/v1 deployments': [],
  '/apis/apps/v1 daemonsets': [],
  '/apis/apps/v1 statefulsets': [],
  '/apis/batch/v1 jobs': [],
  '/apis/batch/v1 cronjobs': [],
};

/** Only one that installing has made, and only when nobody has put anything else there. */
async function removeNamespace(tools: InstallerTools, name: string): Promise<void> {
  const { api, report } = tools;
  const live = await readObject(api, { kind: 'Namespace', metadata: { name } });
  if (live === null || !isMadeHere(live)) return;
  const others = await foreignIn(tools, name);
  if (others.length === 0) await remove(tools, live);
  else report(`left       Namespace ${name}, which also holds ${others.join(', ')}`);
}

async function foreignIn({ api }: InstallerTools, namespace: string): Promise<readonly string[]> {
  const found = Object.entries(own).map(async ([place, expected]) => {
    const [base = '', plural = ''] = place.split(' ');
    const items = await listPath(api, `${base}/namespaces/${namespace}/${plural}`);
    // Pods of ours may still be on their way out: the garbage collector takes them after the Deployment that made them.
    const foreign = items.filter(isKubeObject).filter((item) => !isOurs(item));
    const names = foreign.map(({ metadata }) => metadata.name);
    return names.filter((one) => !expected.includes(one)).map((one) => `${plural}/${one}`);
  });
  return (await Promise.all(found)).flat();
}
