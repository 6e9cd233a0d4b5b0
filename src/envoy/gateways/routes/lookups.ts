import type { LabelSelector } from '../../../config/manifests/schemas/common.ts';
import type { RouteLookups } from '../../routes/lookups.ts';

/** What routes of a gateway may ask of the mesh. */
export interface GatewayLookups extends RouteLookups, NamespaceLookup {}

export interface NamespaceLookup {
  /** Whether labels of the namespace are as the selector wants them; false where nobody knows the namespace. */
  readonly selectsNamespace: (selector: LabelSelector, namespace: string) => boolean;
}
