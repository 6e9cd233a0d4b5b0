import type { DeploymentTerms } from './deployment-terms.ts';
import { accountAnnotation, metadataOf, waypointNames } from './object-metadata.ts';
import type { WaypointObject } from './object-metadata.ts';
import { deploymentOf } from './proxy-deployment.ts';
import { serviceOf } from './proxy-service.ts';
import type { WantedProxy } from './wanted-proxy.ts';

/** Pure: the objects of a waypoint or a gateway in the order in which they are applied, each owned by its Gateway. */
export function waypointObjects(wanted: WantedProxy, terms: DeploymentTerms): readonly WaypointObject[] {
  const { gateway } = wanted;
  // An account that the Gateway only names is somebody else's.
  const ownAccount = gateway.metadata.annotations[accountAnnotation] === undefined;
  const account: WaypointObject = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: metadataOf(gateway, 'ServiceAccount', waypointNames(gateway).account),
    // Its pods ask nothing of the API server.
    automountServiceAccountToken: false,
  };
  return [...(ownAccount ? [account] : []), serviceOf(wanted), deploymentOf(wanted, terms)];
}
