import type { KubeClient } from '../../kube/kube-client.ts';
import { serverSideApply } from '../../kube/server-side-apply.ts';

/** As which the control plane writes what belongs to waypoints. */
export const waypointsManager = 'ambit-waypoints';

/** By server-side apply. @throws KubeError */
export async function apply(client: Pick<KubeClient, 'send'>, target: string, body: object): Promise<unknown> {
  return client.send(serverSideApply(target, body, { fieldManager: waypointsManager, force: true }));
}
