import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { MeshSettings } from '../model/workload.ts';
import type { Context } from './context.ts';
import type { Labels } from './selectors.ts';
import { waypointRunBy } from './waypoints/binding.ts';

export const dataplaneMode = 'istio.io/dataplane-mode';
const injectionLabel = 'istio-injection';
/** The API's image of a pod that a node runs by itself, from a file. */
const mirrorAnnotation = 'kubernetes.io/config.mirror';

type Membership = Pick<MeshSettings, 'excludedNamespaces' | 'injectionLabel'>;

/**
 * The labels say that the pod belongs to the mesh. A static pod, one of the host's network or with a sidecar never does; that of a
 * waypoint does unless it says otherwise, for the node's engine makes its tunnels.
 */
export function isWanted(
  pod: PodDocument,
  context: Pick<Context, 'namespaceLabels' | 'settings' | 'waypoints'>,
): boolean {
  const { settings } = context;
  const { namespace, labels, annotations } = pod.metadata;
  if (pod.spec.hostNetwork || Object.hasOwn(annotations, 'sidecar.istio.io/status')) return false;
  if (mirrorOf(pod) !== null) return false;
  if (settings.excludedNamespaces.includes(namespace)) return false;
  const own = labels[dataplaneMode];
  if (own === 'ambient' || own === 'none') return own === 'ambient';
  return joins(context.namespaceLabels.get(namespace) ?? {}, settings) || waypointRunBy(pod.metadata, context) !== null;
}

/** The engine hands the pod's proxy what comes for others: it is a waypoint, and of the mesh. */
export function isHandover(
  pod: PodDocument,
  context: Pick<Context, 'namespaceLabels' | 'settings' | 'waypoints'>,
): boolean {
  return waypointRunBy(pod.metadata, context) !== null && isWanted(pod, context);
}

/**
 * By what its kubelet knows a static pod; null: it is none. A node may make mirror pods in any namespace, so what it says by one
 * gives nobody an identity.
 */
export function mirrorOf({ metadata }: PodDocument): string | null {
  return metadata.annotations[mirrorAnnotation] ?? null;
}

/** What the namespace says counts for its pods that say nothing; `none` on it undoes the older label, too. */
export function joins(labels: Labels, settings: Membership): boolean {
  if (labels[dataplaneMode] !== undefined) return labels[dataplaneMode] === 'ambient';
  return settings.injectionLabel === 'join' && labels[injectionLabel] === 'enabled';
}
