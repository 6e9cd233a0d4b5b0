import type { KubeClient } from '../../kube/kube-client.ts';

/** By server-side apply. @throws KubeError */
export async function apply(client: Pick<KubeClient, 'send'>, target: string, body: object): Promise<unknown> {
  return client.send({
    method: 'PATCH',
    path: target,
    query: { fieldManager: 'ambit-waypoints', force: true },
    contentType: 'application/apply-patch+yaml',
    body,
  });
}
