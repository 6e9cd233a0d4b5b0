import type { ManifestObject } from '../manifest-object.ts';

interface ApiKind {
  readonly apiVersion: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

/** Every kind that an installation is made of, as the API server names it. */
export const apiKinds: Readonly<Record<string, ApiKind>> = {
  Namespace: { apiVersion: 'v1', plural: 'namespaces', namespaced: false },
  CustomResourceDefinition: {
    apiVersion: 'apiextensions.k8s.io/v1',
    plural: 'customresourcedefinitions',
    namespaced: false,
  },
  DaemonSet: { apiVersion: 'apps/v1', plural: 'daemonsets', namespaced: true },
  ValidatingWebhookConfiguration: {
    apiVersion: 'admissionregistration.k8s.io/v1',
    plural: 'validatingwebhookconfigurations',
    namespaced: false,
  },
  ValidatingAdmissionPolicyBinding: {
    apiVersion: 'admissionregistration.k8s.io/v1',
    plural: 'validatingadmissionpolicybindings',
    namespaced: false,
  },
  ValidatingAdmissionPolicy: {
    apiVersion: 'admissionregistration.k8s.io/v1',
    plural: 'validatingadmissionpolicies',
    namespaced: false,
  },
  Deployment: { apiVersion: 'apps/v1', plural: 'deployments', namespaced: true },
  PodDisruptionBudget: { apiVersion: 'policy/v1', plural: 'poddisruptionbudgets', namespaced: true },
  Service: { apiVersion: 'v1', plural: 'services', namespaced: true },
  NetworkPolicy: { apiVersion: 'networking.k8s.io/v1', plural: 'networkpolicies', namespaced: true },
  PeerAuthentication: { apiVersion: 'security.istio.io/v1', plural: 'peerauthentications', namespaced: true },
  MeshSettings: { apiVersion: 'ambit.dev/v1alpha1', plural: 'meshsettings', namespaced: false },
  RoleBinding: { apiVersion: 'rbac.authorization.k8s.io/v1', plural: 'rolebindings', namespaced: true },
  Role: { apiVersion: 'rbac.authorization.k8s.io/v1', plural: 'roles', namespaced: true },
  ClusterRoleBinding: { apiVersion: 'rbac.authorization.k8s.io/v1', plural: 'clusterrolebindings', namespaced: false },
  ClusterRole: { apiVersion: 'rbac.authorization.k8s.io/v1', plural: 'clusterroles', namespaced: false },
  ServiceAccount: { apiVersion: 'v1', plural: 'serviceaccounts', namespaced: true },
};

/** Path of one object; `collectionPath` without its name. */
export function objectPath({ kind, metadata }: Pick<ManifestObject, 'kind' | 'metadata'>): string {
  return `${collectionPath(kind, metadata.namespace)}/${metadata.name}`;
}

/** All objects of a kind; of one namespace where it is given. */
export function collectionPath(kind: string, namespace?: string): string {
  const { apiVersion, plural } = apiKind(kind);
  const base = `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion}`;
  return namespace === undefined ? `${base}/${plural}` : `${base}/namespaces/${namespace}/${plural}`;
}

export function apiKind(kind: string): ApiKind {
  const known = Object.hasOwn(apiKinds, kind) ? apiKinds[kind] : undefined;
  if (known === undefined) throw new Error(`${kind} is no kind of an installation`);
  return known;
}

/** `Deployment istio-system/istiod`. */
export function nameOf({ kind, metadata }: Pick<ManifestObject, 'kind' | 'metadata'>): string {
  return `${kind} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`;
}
