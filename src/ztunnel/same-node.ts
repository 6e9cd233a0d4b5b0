import type { Workload } from '../model/workload.ts';
import type { MeshView } from './mesh-view.ts';

/** Why a workload is reached, or reaches others, over a wire. */
export type WireReason = 'no_pod' | 'other_node' | 'setting' | 'network_policy' | 'not_wanted' | 'not_enrolled';

/**
 * Whether a workload may be one end of a connection that never touches a wire: a pod of this node that the engine serves.
 * What never crosses a veth is never seen by a CNI's NetworkPolicy, so under `auto` a pod that one selects is left out.
 */
export function mayJoinLocally(view: MeshView, workload: Workload): boolean {
  return wireReason(view, workload) === null;
}

/** Null where it may be joined without a wire. */
export function wireReason(view: MeshView, workload: Workload): WireReason | null {
  // Checked first: asking for every endpoint of a large service would make each of them a key of the answer.
  if (workload.podUid === null) return 'no_pod';
  if (workload.node !== view.node) return 'other_node';
  const { sameNode } = view.settings();
  if (sameNode === 'tls') return 'setting';
  if (sameNode === 'auto' && workload.selectedByNetworkPolicy) return 'network_policy';
  if (view.localPod(workload.podUid)?.wanted !== true) return 'not_wanted';
  return view.isEnrolled(workload.podUid) ? null : 'not_enrolled';
}
