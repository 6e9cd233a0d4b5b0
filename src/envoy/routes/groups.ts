export const gatewayGroup = 'gateway.networking.k8s.io';
export const istioGroup = 'networking.istio.io';
/** Of what the Gateway API tries out. */
export const experimentalGroup = 'gateway.networking.x-k8s.io';
