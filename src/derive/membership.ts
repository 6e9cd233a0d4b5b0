import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { MeshSettings } from '../model/workload.ts';
import type { Labels } from './selectors.ts';

export const dataplaneMode = 'istio.io/dataplane-mode';
const injectionLabel = 'istio-injection';

type Membership = Pick<MeshSettings, 'excludedNamespaces' | 'injectionLabel'>;

/** The labels say that the pod belongs to the mesh. A pod of the host's network or with a sidecar never does. */
export function isWanted(pod: PodDocument, namespaceLabels: Labels, settings: Membership): boolean {
  const { namespace, labels, annotations } = pod.metadata;
  if (pod.spec.hostNetwork || Object.hasOwn(annotations, 'sidecar.istio.io/status')) return false;
  if (settings.excludedNamespaces.includes(namespace)) return false;
  const own = labels[dataplaneMode];
  return own === 'ambient' || (own !== 'none' && joins(namespaceLabels, settings));
}

/** What the namespace says counts for its pods that say nothing; `none` on it undoes the older label, too. */
export function joins(labels: Labels, settings: Membership): boolean {
  if (labels[dataplaneMode] !== undefined) return labels[dataplaneMode] === 'ambient';
  return settings.injectionLabel === 'join' && labels[injectionLabel] === 'enabled';
}
