import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { Labels } from './selectors.ts';

export const dataplaneMode = 'istio.io/dataplane-mode';

/** The labels say that the pod belongs to the mesh. A pod of the host's network or with a sidecar never does. */
export function isWanted(pod: PodDocument, namespaceLabels: Labels): boolean {
  const { labels, annotations } = pod.metadata;
  if (pod.spec.hostNetwork || Object.hasOwn(annotations, 'sidecar.istio.io/status')) return false;
  const own = labels[dataplaneMode];
  return own === 'ambient' || (own !== 'none' && namespaceLabels[dataplaneMode] === 'ambient');
}
