import type { ParentReference } from '../../config/manifests/schemas/gateway-common.ts';

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

/** Some write the name of the core group, which has none. */
function coreGroup(group: string): string {
  return group === 'core' ? '' : group;
}
