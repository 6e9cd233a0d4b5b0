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
    ({ group, kind, namespace, name, port, sectionName }) =>
      (group === 'core' ? '' : group) === to.group &&
      kind === to.kind &&
      name === to.name &&
      (namespace ?? routeNamespace) === to.namespace &&
      (port === null || port === to.port) &&
      (sectionName === null || sectionName === to.portName),
  );
}
