export const gatewayGroup = 'gateway.networking.k8s.io';
export const istioGroup = 'networking.istio.io';
