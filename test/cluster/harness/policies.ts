import type { KubernetesObject } from './objects.ts';

export function serviceAccount(name: string): KubernetesObject {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } };
}

/** Nothing without an identity comes into the namespace. */
export function strict(): KubernetesObject {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: { name: 'default' },
    spec: { mtls: { mode: 'STRICT' } },
  };
}

/** `spec` is that of Istio's AuthorizationPolicy; without `selector` it holds for its namespace. */
export function authorizationPolicy(name: string, spec: Readonly<Record<string, unknown>>): KubernetesObject {
  return { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata: { name }, spec };
}

/** Rules that hold for the service accounts of a namespace. */
export function fromAccounts(namespace: string, ...accounts: readonly string[]): readonly object[] {
  return [{ from: [{ source: { principals: accounts.map((name) => `cluster.local/ns/${namespace}/sa/${name}`) } }] }];
}

/** `spec` is that of Kubernetes' NetworkPolicy. */
export function networkPolicy(name: string, spec: Readonly<Record<string, unknown>>): KubernetesObject {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name }, spec };
}
