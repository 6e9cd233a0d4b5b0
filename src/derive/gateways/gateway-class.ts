/** The class whose Gateways are doors of the mesh, also where nobody has made it. */
export const gatewayClass = 'istio';
export const gatewayController = 'istio.io/gateway-controller';

/** Whether Gateways of a class are doors of the mesh. @param controllerName of the class; null: there is no such class */
export function isGatewayClass(name: string, controllerName: string | null): boolean {
  return controllerName === null ? name === gatewayClass : controllerName === gatewayController;
}
