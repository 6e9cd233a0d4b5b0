const meshGateway = 'mesh';

/** The port whose traffic is looked at. */
export interface VirtualPort {
  readonly number: number;
}

/** What is said counts at waypoints unless it is said for gateways and `mesh` is not one of them. */
export function appliesToMesh(gateways: readonly string[]): boolean {
  return gateways.length === 0 || gateways.includes(meshGateway);
}
