const meshGateway = 'mesh';

/** Where the traffic is that is looked at. */
export interface VirtualPlace {
  /** Of the port. */
  readonly number: number;
  /** `namespace/name` of the Istio Gateway whose server it is; undefined: at a waypoint. */
  readonly gateway?: string;
}

/** What is said counts at waypoints unless it is said for gateways and `mesh` is not one of them. */
export function appliesToMesh(gateways: readonly string[]): boolean {
  return gateways.length === 0 || gateways.includes(meshGateway);
}

/** Whether a VirtualService that names these gateways is for the place. @param namespace of the VirtualService */
export function appliesTo({ gateway }: VirtualPlace, gateways: readonly string[], namespace: string): boolean {
  return gateway === undefined ? appliesToMesh(gateways) : gatewaysNamed(gateways, namespace).includes(gateway);
}

/** Likewise one of its matches, which says nothing where it means them all. */
export function matchAppliesTo(place: VirtualPlace, gateways: readonly string[], namespace: string): boolean {
  return gateways.length === 0 || appliesTo(place, gateways, namespace);
}

/** The Istio Gateways that are named, each as `namespace/name`. */
export function gatewaysNamed(gateways: readonly string[], namespace: string): readonly string[] {
  return fullGateways(gateways, namespace).filter((name) => name !== meshGateway);
}

/** Likewise, and `mesh` where it is named. */
export function fullGateways(gateways: readonly string[], namespace: string): readonly string[] {
  const names = gateways.map((name) => (name === meshGateway ? name : fullGateway(name, namespace)));
  return [...new Set(names)];
}

/** `name`, `namespace/name`, `./name`, or as in the beginnings of Istio the name of a service: `name.namespace.svc.cluster.local`. */
function fullGateway(written: string, own: string): string {
  const slash = written.indexOf('/');
  if (slash >= 0) {
    const namespace = written.slice(0, slash);
    return `${namespace === '.' ? own : namespace}/${written.slice(slash + 1)}`;
  }
  const [name = '', namespace = own] = written.split('.');
  return `${namespace}/${name}`;
}
