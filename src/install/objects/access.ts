import { operatorSecret, ownSecret } from '../../control/kubernetes/authority-secret.ts';
import { leaderLease, validatorNameIn } from '../../control/kubernetes/names.ts';
import { rootConfigMap } from '../../control/kubernetes/root-publisher.ts';
import { statusPaths } from '../../control/kubernetes/status-writer.ts';
import { watchedKinds } from '../../control/kubernetes/watched-kinds.ts';
import { namedKinds } from '../../control/kubernetes/object-reference.ts';
import { ownClasses } from '../../control/waypoints/gateway-class.ts';
import { gatewayApi, waypointKinds } from '../../control/waypoints/waypoint-kinds.ts';
import { groupOf } from '../../kube/watched-kind.ts';
import type { ManifestObject, ObjectGroup } from '../manifest-object.ts';
import { agentName, commonLabels, controlName } from './common.ts';
import type { Site } from './common.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

const gatewayGroup = groupOf(gatewayApi);
const watch = ['get', 'list', 'watch'];

/**
 * Which ConfigMap a Gateway names is not known before, so all may be read; and what such a ConfigMap may ask for in addition may
 * be made.
 */
export function waypointParametersGroup({ namespace }: Site): ObjectGroup {
  const rules = [
    { apiGroups: [''], resources: ['configmaps'], verbs: ['get'] },
    ...waypointRules(false, ['create', 'patch']),
  ];
  const name = `${controlName}-waypoint-parameters-${namespace}`;
  return {
    name: 'waypoint-parameters',
    when: 'waypoint.parameters',
    objects: [...clusterAccess(name, controlName, rules, namespace)],
  };
}

/**
 * The keys of every gateway may be in any namespace. Rights for all of them are rights for every other Secret of the cluster, too; so
 * whoever does without gives them by a Role in each namespace.
 */
export function gatewaySecretsGroup({ namespace }: Site): ObjectGroup {
  const rules = [{ apiGroups: [''], resources: Object.values(namedKinds), verbs: watch }];
  const name = `${controlName}-gateway-secrets-${namespace}`;
  return {
    name: 'gateway-secrets',
    when: 'gateways.secrets=all',
    objects: [...clusterAccess(name, controlName, rules, namespace)],
  };
}

/** What each part may do at the API server, and nothing else. Names are cluster-wide, so the namespace is in them. */
export function accessGroup(site: Site): ObjectGroup {
  const { namespace } = site;
  const control = `${controlName}-${namespace}`;
  const agent = `${agentName}-${namespace}`;
  return {
    name: 'access',
    when: null,
    objects: [
      ...clusterAccess(control, controlName, controlRules(site), namespace),
      ...clusterAccess(agent, agentName, agentRules(), namespace),
      ...namespaceAccess(controlName, controlNamespaceRules(), namespace),
      ...namespaceAccess(agentName, agentNamespaceRules(), namespace),
    ],
  };
}

function controlRules({ namespace }: Site): readonly Rule[] {
  return [
    ...watchRules(),
    { apiGroups: ['apiextensions.k8s.io'], resources: ['customresourcedefinitions'], verbs: watch },
    { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
    // Which namespaces there are is not known, so the name is all that can be bounded. A list is bounded by it where it asks for
    // that name by a field selector; creating cannot be.
    { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
    {
      apiGroups: [''],
      resources: ['configmaps'],
      verbs: [...watch, 'update', 'patch'],
      resourceNames: [rootConfigMap],
    },
    ...statusRules(),
    {
      apiGroups: ['admissionregistration.k8s.io'],
      resources: ['validatingwebhookconfigurations'],
      verbs: [...watch, 'patch'],
      resourceNames: [validatorNameIn(namespace)],
    },
    ...waypointRules(true, [...watch, 'create', 'patch']),
    {
      apiGroups: [gatewayGroup],
      resources: ['gateways/status', 'gatewayclasses/status', 'listenersets/status'],
      verbs: ['patch'],
    },
    // Applied by its name, which is looked at when it is created, too.
    {
      apiGroups: [gatewayGroup],
      resources: ['gatewayclasses'],
      verbs: ['create', 'patch'],
      resourceNames: [...ownClasses.keys()],
    },
  ];
}

/** Namespaces and names of waypoints are their users' choice; the admission policy sees to the rest. */
function waypointRules(always: boolean, verbs: readonly string[]): readonly Rule[] {
  return Object.values(waypointKinds)
    .filter((kind) => kind.always === always)
    .map(({ apiVersion, plural }) => ({ apiGroups: [groupOf(apiVersion)], resources: [plural], verbs }));
}

function watchRules(): readonly Rule[] {
  const groups = new Map<string, Set<string>>();
  for (const { apiVersion, plural } of watchedKinds) {
    const group = groupOf(apiVersion);
    groups.set(group, (groups.get(group) ?? new Set()).add(plural));
  }
  return [...groups].map(([group, resources]) => ({ apiGroups: [group], resources: [...resources], verbs: watch }));
}

function statusRules(): readonly Rule[] {
  return Object.values(statusPaths).map((path) => {
    const [base = '', plural = ''] = path.split(' ');
    const group = groupOf(base.replace(/^apis?\//, ''));
    return { apiGroups: [group], resources: [`${plural}/status`], verbs: ['patch'] };
  });
}

function controlNamespaceRules(): readonly Rule[] {
  return [
    // The CA: read by name; made once, with the key of its root, which cannot be read back.
    { apiGroups: [''], resources: ['secrets'], verbs: ['get'], resourceNames: [operatorSecret, ownSecret] },
    { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
    {
      apiGroups: ['coordination.k8s.io'],
      resources: ['leases'],
      verbs: ['get', 'update'],
      resourceNames: [leaderLease],
    },
  ];
}

/** The annotation of a pod is written by its status, so that no agent may write what a pod runs. */
function agentRules(): readonly Rule[] {
  return [
    { apiGroups: [''], resources: ['pods', 'namespaces'], verbs: ['list', 'watch'] },
    { apiGroups: [''], resources: ['pods/status'], verbs: ['patch'] },
    { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create'] },
    // Whether its DaemonSet is still for its node.
    { apiGroups: [''], resources: ['nodes'], verbs: ['get'] },
  ];
}

/** Whether it ends for good: then the node is left as it was. */
function agentNamespaceRules(): readonly Rule[] {
  return [{ apiGroups: ['apps'], resources: ['daemonsets'], verbs: watch, resourceNames: [agentName] }];
}

function clusterAccess(
  name: string,
  account: string,
  rules: readonly Rule[],
  namespace: string,
): readonly ManifestObject[] {
  const metadata = { name, labels: commonLabels() };
  return [
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata, rules },
    { ...bindingOf('ClusterRoleBinding', 'ClusterRole', name, account, namespace), metadata },
  ];
}

function namespaceAccess(account: string, rules: readonly Rule[], namespace: string): readonly ManifestObject[] {
  const metadata = { name: account, namespace, labels: commonLabels() };
  return [
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata, rules },
    { ...bindingOf('RoleBinding', 'Role', account, account, namespace), metadata },
  ];
}

function bindingOf(kind: string, roleKind: string, role: string, account: string, namespace: string) {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: roleKind, name: role },
    subjects: [{ kind: 'ServiceAccount', name: account, namespace }],
  };
}
