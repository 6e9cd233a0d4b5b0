import type { LocalPod } from '../model/workload.ts';
import type { PodSpec } from '../native/binding.ts';

export type Goal =
  | { readonly kind: 'served'; readonly spec: PodSpec }
  /** It runs, outside the mesh. */
  | { readonly kind: 'released' }
  /** It is to be served once its network namespace is known; until then nothing is done to it. */
  | { readonly kind: 'awaited' }
  /** It is gone. */
  | { readonly kind: 'forgotten' };

/** What the engine has, as far as it told us. */
export type Actual =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'served'; readonly spec: PodSpec }
  /** A former agent left it captured, or an attempt to enrol it failed half-way. */
  | { readonly kind: 'captured' }
  /** Un-enrolled; flows may still be open. */
  | { readonly kind: 'releasing' };

/**
 * What shall become of a pod of this node.
 *
 * @param placedLater namespaces are found one by one: that one is not known yet says nothing of whether its pod is in the mesh
 * @param dnsCapture whether name queries are captured of pods that say nothing
 */
export function goalOf(pod: LocalPod, placedLater: boolean, dnsCapture: boolean): Goal {
  if (!pod.wanted || (pod.netns === null && !placedLater)) return { kind: 'released' };
  if (pod.netns === null) return { kind: 'awaited' };
  const { uid, netns, addresses, identity, workload, probePorts, handover, bypassInbound } = pod;
  const common = { uid, netns, addresses, identity, workload, probePorts, handover, bypassInbound };
  // The proxy of a waypoint or gateway resolves hosts by itself: the mesh would name a waypoint the way through itself.
  return { kind: 'served', spec: { ...common, dnsCapture: (pod.dnsCapture ?? dnsCapture) && !handover } };
}

/**
 * An adopted pod that nothing names may still run, so its open connections are left to end by themselves. While it is not known
 * to be none of the mesh, it stays captured: the pods of the node are not all known, or it has started under a former agent and
 * the API server does not have its addresses yet.
 *
 * @param listed it was named before
 */
export function goalWithoutPod(listed: boolean, isKnown: boolean): Goal {
  if (!isKnown) return { kind: 'awaited' };
  return listed ? { kind: 'forgotten' } : { kind: 'released' };
}
