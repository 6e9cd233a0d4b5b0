import type { Workload } from '../model/workload.ts';
import type { MeshView } from './mesh-view.ts';

/**
 * Whether a workload may be one end of a connection that never touches a wire: a pod of this node that the engine serves.
 * What never crosses a veth is never seen by a CNI's NetworkPolicy, so under `auto` a pod that one selects is left out.
 */
export function mayJoinLocally(view: MeshView, workload: Workload): boolean {
  // Checked first: asking for every endpoint of a large service would make each of them a key of the answer.
  if (workload.podUid === null || workload.node !== view.node) return false;
  const { sameNode } = view.settings();
  if (sameNode === 'tls') return false;
  if (sameNode === 'auto' && workload.selectedByNetworkPolicy) return false;
  return view.localPod(workload.podUid)?.wanted === true && view.isEnrolled(workload.podUid);
}
