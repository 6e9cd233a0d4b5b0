import type { ParentReference } from '../../config/manifests/schemas/gateway-common.ts';
import type { ConvertedRoute } from './precedence.ts';

/** A route of the Gateway API with where it wants to be attached. */
export interface AttachableRoute<Rule> {
  readonly parents: readonly ParentReference[];
  readonly route: ConvertedRoute<Rule>;
}
