import type { ParentReference } from '../../config/manifests/schemas/gateway-common.ts';
import { istioGroup } from './groups.ts';

/** A port that routes may be attached to. */
export interface ParentPort {
  /** `Service` of group ``, or `ServiceEntry` of `networking.istio.io`. */
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly portName: string | null;
}

/** Whether one of the route's parents is the port, or its whole service. */
export function isAttached(parents: readonly ParentReference[], routeNamespace: string, to: ParentPort): boolean {
  return parents.some(
    (parent) =>
      isParent(parent, routeNamespace, to) &&
      (parent.port === null || parent.port === to.port) &&
      (parent.sectionName === null || parent.sectionName === to.portName),
  );
}

/** Whether it names the service, whatever the port. */
export function isParent(
  { group, kind, namespace, name }: ParentReference,
  routeNamespace: string,
  to: Pick<ParentPort, 'group' | 'kind' | 'namespace' | 'name'>,
): boolean {
  return (
    coreGroup(group) === coreGroup(to.group) &&
    kind === to.kind &&
    name === to.name &&
    (namespace ?? routeNamespace) === to.namespace
  );
}

/** Whether it is a service, which has its effect at a waypoint. */
export function isServiceParent({ group, kind }: Pick<ParentReference, 'group' | 'kind'>): boolean {
  return (kind === 'Service' && coreGroup(group) === '') || (kind === 'ServiceEntry' && group === istioGroup);
}

/** A parent as conditions name it: `Gateway shop/web`, with `#listener` and `:port` where it says them. */
export function parentText(
  { kind, namespace, name, sectionName, port }: Omit<ParentReference, 'group'>,
  routeNamespace: string,
): string {
  const section = sectionName === null ? '' : `#${sectionName}`;
  return `${kind} ${namespace ?? routeNamespace}/${name}${section}${port === null ? '' : `:${port}`}`;
}

/** Some write the name of the core group, which has none. */
function coreGroup(group: string): string {
  return group === 'core' ? '' : group;
}
