import { waypointsManager } from '../../control/waypoints/apply.ts';
import { ownClasses, pathOfClass } from '../../control/waypoints/gateway-class.ts';
import { pathOfKind, waypointKinds } from '../../control/waypoints/waypoint-kinds.ts';
import { digestAnnotation, managedBy, managedLabel } from '../../control/waypoints/object-metadata.ts';
import type { WaypointObjectKind } from '../../control/waypoints/object-metadata.ts';
import type { InstallerTools } from './install.ts';
import { deletePath, listPath, readPath } from './live-objects.ts';

interface Made {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly managedFields?: readonly { readonly manager?: string; readonly subresource?: string }[];
  };
}

/**
 * What the control plane has made for Gateways, and their classes: without it nobody would look after them. The Gateways are their
 * users', and enough to make it all anew. To be called once the control plane is gone, which would put things right again.
 */
export async function removeWaypoints({ api, report }: InstallerTools): Promise<void> {
  const labelSelector = `${managedLabel}=${managedBy}`;
  for (const kind of Object.keys(waypointKinds) as WaypointObjectKind[]) {
    const path = pathOfKind(kind);
    const items = (await listPath(api, path, { labelSelector })) as readonly Made[];
    // Another mesh has the same label on what it has made.
    for (const { metadata } of items.filter((item) => item.metadata.annotations?.[digestAnnotation] !== undefined)) {
      const { namespace = '', name, uid } = metadata;
      if (await deletePath(api, pathOfKind(kind, namespace, name), uid))
        report(`removed    ${kind} ${namespace}/${name}`);
    }
  }
  for (const name of ownClasses.keys()) {
    const path = pathOfClass(name);
    const found = (await readPath(api, path)) as Made | null;
    if (found === null || !isOurs(found)) continue;
    if (await deletePath(api, path, found.metadata.uid)) report(`removed    GatewayClass ${name}`);
  }
}

/** Its status is written by us also where somebody else has made it. */
function isOurs({ metadata: { managedFields = [] } }: Made): boolean {
  return managedFields.some(({ manager, subresource }) => manager === waypointsManager && subresource === undefined);
}
