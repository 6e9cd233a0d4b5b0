import type { KubeClient } from '../../kube/kube-client.ts';
import { isNotFound } from '../../kube/kube-error.ts';
import { isKubeObject } from '../../kube/objects.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { ParametersError } from './waypoint-parameters.ts';
import type { GatewayObject } from './gateway-object.ts';
import { isMadeFor } from './made-for.ts';
import { accountAnnotation } from './object-metadata.ts';

/** On an account, the names of the Gateways in its namespace whose waypoints may run as it, or `*`. */
export const borrowersAnnotation = 'ambit.dev/used-by-waypoints';

export function borrowsAccount({ metadata }: GatewayObject): boolean {
  return metadata.annotations[accountAnnotation] !== undefined;
}

/**
 * Whoever writes a Gateway has its waypoint be whom the account is. So the account, which others may be trusted with, has to say that
 * it is for that. @throws ParametersError
 */
export async function checkAccount(client: Pick<KubeClient, 'send'>, gateway: GatewayObject): Promise<void> {
  const { namespace, name, annotations } = gateway.metadata;
  const account = annotations[accountAnnotation];
  if (account === undefined) return;
  const found = await readAccount(client, namespace, account);
  const words = `the annotation ${accountAnnotation} names ServiceAccount ${namespace}/${account}`;
  if (found === null) throw new ParametersError(`${words}, which is not there`);
  if (isMadeFor(found, gateway) || borrowers(found).some((word) => word === name || word === '*')) return;
  throw new ParametersError(`${words}, whose annotation ${borrowersAnnotation} does not name the Gateway ${name}`);
}

async function readAccount(
  client: Pick<KubeClient, 'send'>,
  namespace: string,
  name: string,
): Promise<KubeObject | null> {
  try {
    const object = await client.send({
      method: 'GET',
      path: `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`,
    });
    return isKubeObject(object) ? object : null;
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

function borrowers({ metadata }: KubeObject): readonly string[] {
  const { annotations = {} } = metadata as AnnotatedMetadata;
  return (annotations[borrowersAnnotation] ?? '').split(',').map((word) => word.trim());
}

type AnnotatedMetadata = KubeObject['metadata'] & { readonly annotations?: Readonly<Record<string, string>> };
