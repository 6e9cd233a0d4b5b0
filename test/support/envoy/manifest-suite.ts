import type { Manifest } from '../manifests.ts';
import { waypointGateway, waypointNamespace, waypointPod } from '../waypoint-mesh.ts';
import { WaypointRig } from '../waypoint-rig.ts';
import { derivedResources } from './derived-resources.ts';
import { resourcesSuite } from './suite.ts';
import type { Servers, Waypoint } from './suite.ts';

/** The namespace of the one waypoint, which serves every other. */
export const waypointSpace = 'mesh';

/** Of a namespace, service or pod that goes through it. */
export const behindWaypoint = {
  'istio.io/use-waypoint': 'waypoint',
  'istio.io/use-waypoint-namespace': waypointSpace,
} as const;

export interface MeshWaypoint<Having extends Servers> extends Waypoint<Having> {
  /** What the control plane has made of the manifests. */
  readonly mesh: WaypointRig;
}

/**
 * A suite with a real Envoy that has what the control plane makes of manifests: from what an operator writes to what a client sees.
 *
 * @param manifests besides the waypoint and its namespace; addresses of pods are all taken to be on loopback
 */
export function manifestSuite<Having extends Servers>(
  name: string,
  serve: () => Promise<Having>,
  manifests: (servers: Having) => readonly Manifest[],
  body: (waypoint: () => MeshWaypoint<Having>) => void,
): void {
  const mesh = new WaypointRig(
    waypointNamespace(waypointSpace, {}),
    waypointGateway(waypointSpace),
    waypointPod(waypointSpace, '10.255.0.1'),
  );
  const resources = (servers: Having) => {
    mesh.set(...manifests(servers));
    return derivedResources(mesh.store, `${waypointSpace}/waypoint`);
  };
  resourcesSuite(name, serve, resources, (waypoint) => {
    body(() => ({ ...waypoint(), mesh }));
  });
}
