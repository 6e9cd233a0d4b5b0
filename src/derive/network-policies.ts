import type { Resources } from '../config/manifests/resources.ts';
import type { NetworkPolicyDocument } from '../config/manifests/schemas/network-policy.ts';
import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import { groupByNamespace } from './context.ts';
import { matchesSelector } from './selectors.ts';

/** Tells whether any NetworkPolicy selects a pod. A policy of a kind that only the CNI reads may select every pod. */
export function networkPolicySelection(resources: Resources): (pod: PodDocument) => boolean {
  if (resources.foreignNetworkPolicies.length > 0) return () => true;
  const byNamespace = groupByNamespace(resources.networkPolicies);
  return (pod) => (byNamespace.get(pod.metadata.namespace) ?? []).some((policy) => selects(policy, pod));
}

function selects(policy: NetworkPolicyDocument, pod: PodDocument): boolean {
  return matchesSelector(policy.spec.podSelector, pod.metadata.labels);
}
