import type { NetworkPolicyDocument } from '../config/manifests/schemas/network-policy.ts';
import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import { matchesSelector } from './selectors.ts';

/** Whether one of the policies, which are of the pod's namespace, selects it. */
export function isSelectedBy(policies: readonly NetworkPolicyDocument[], pod: PodDocument): boolean {
  return policies.some((policy) => matchesSelector(policy.spec.podSelector, pod.metadata.labels));
}
