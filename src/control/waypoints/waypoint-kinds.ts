import type { WaypointObject, WaypointObjectKind } from './object-metadata.ts';

interface WaypointKind {
  readonly apiVersion: string;
  readonly plural: string;
  /** It is there for every waypoint, and watched; others only where parameters ask for them. */
  readonly always: boolean;
}

/** The kinds of objects that waypoints are made of. The control plane's rights follow from this table. */
export const waypointKinds: Readonly<Record<WaypointObjectKind, WaypointKind>> = {
  ServiceAccount: { apiVersion: 'v1', plural: 'serviceaccounts', always: true },
  Service: { apiVersion: 'v1', plural: 'services', always: true },
  Deployment: { apiVersion: 'apps/v1', plural: 'deployments', always: true },
  HorizontalPodAutoscaler: { apiVersion: 'autoscaling/v2', plural: 'horizontalpodautoscalers', always: false },
  PodDisruptionBudget: { apiVersion: 'policy/v1', plural: 'poddisruptionbudgets', always: false },
};

export const gatewayApi = 'gateway.networking.k8s.io/v1';

export function pathOfObject({ kind, metadata }: Pick<WaypointObject, 'kind' | 'metadata'>): string {
  return pathOfKind(kind, metadata.namespace, metadata.name);
}

/** Of all objects of a kind; of one of them where it is named. */
export function pathOfKind(kind: WaypointObjectKind): string;
export function pathOfKind(kind: WaypointObjectKind, namespace: string, name: string): string;
export function pathOfKind(kind: WaypointObjectKind, namespace?: string, name?: string): string {
  const { apiVersion, plural } = waypointKinds[kind];
  const base = `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion}`;
  return namespace === undefined || name === undefined
    ? `${base}/${plural}`
    : `${base}/namespaces/${namespace}/${plural}/${name}`;
}
