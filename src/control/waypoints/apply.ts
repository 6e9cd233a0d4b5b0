import type { KubeClient } from '../../kube/kube-client.ts';
import { serverSideApply } from '../../kube/server-side-apply.ts';

/** By server-side apply. @throws KubeError */
export async function apply(client: Pick<KubeClient, 'send'>, target: string, body: object): Promise<unknown> {
  return client.send(serverSideApply(target, body, { fieldManager: 'ambit-waypoints', force: true }));
}
