import type { KubeObject } from '../../kube/objects.ts';
import type { GatewayObject } from './gateway-object.ts';
import { managedBy, managedLabel } from './object-metadata.ts';

/** Those of a stock control plane count: their Gateway owns them, or they are labelled. */
export function isMadeFor(object: KubeObject, { metadata }: GatewayObject): boolean {
  const { labels = {}, ownerReferences = [] } = object.metadata as OwnedMetadata;
  if (ownerReferences.length > 0) return ownerReferences.some(({ uid }) => uid === metadata.uid);
  return labels[managedLabel] === managedBy;
}

type OwnedMetadata = KubeObject['metadata'] & { readonly ownerReferences?: readonly { readonly uid: string }[] };
