import { meshSettings, pod, service } from './manifests.ts';
import type { Manifest } from './manifests.ts';
import { document } from './waypoint-mesh.ts';

/** Documents of meshes with gateways. */

type Fields = Readonly<Record<string, unknown>>;

export const httpListener = { name: 'http', port: 80, protocol: 'HTTP' } as const;

/** A listener that ends TLS with a Secret. */
export function httpsListener(name: string, hostname: string, secret: string, more: Fields = {}): Fields {
  return { name, hostname, port: 443, protocol: 'HTTPS', tls: { certificateRefs: [{ name: secret, ...more }] } };
}

/** Routes of all namespaces may be attached. */
export function doorGateway(space: string, name: string, listeners: readonly Fields[], more: Fields = {}): Manifest {
  const allowedRoutes = { namespaces: { from: 'All' } };
  return document('gateway.networking.k8s.io/v1', 'Gateway', space, name, {
    gatewayClassName: 'istio',
    listeners: listeners.map((listener) => ({ allowedRoutes, ...listener })),
    ...more,
  });
}

/** A pod of a Gateway. */
export function doorPod(space: string, name: string, ...addresses: readonly string[]): Manifest {
  return pod({
    name: `${name}-1`,
    namespace: space,
    nodeName: 'node-1',
    netns: `${space}-${name}`,
    addresses,
    serviceAccount: `${name}-istio`,
    labels: { 'gateway.networking.k8s.io/gateway-name': name },
  });
}

/** A pod of the stock chart of gateways, as Istio's Gateways select it. */
export function chartPod(
  space: string,
  address: string,
  labels: Readonly<Record<string, string>> = chartLabels,
): Manifest {
  return pod({
    name: 'istio-ingressgateway-1',
    namespace: space,
    nodeName: 'node-1',
    netns: `${space}-ingress`,
    addresses: [address],
    serviceAccount: 'istio-ingressgateway',
    labels,
    annotations: { 'inject.istio.io/templates': 'gateway' },
  });
}

export const chartLabels = { app: 'istio-ingressgateway', istio: 'ingressgateway' } as const;

export function chartService(space: string, ports: readonly Fields[]): Manifest {
  return service({
    name: 'istio-ingressgateway',
    namespace: space,
    vips: ['10.1.9.9'],
    ports: {},
    selector: { istio: 'ingressgateway' },
    spec: { ports },
  });
}

export function istioGateway(
  space: string,
  name: string,
  servers: readonly Fields[],
  selector: Fields = { istio: 'ingressgateway' },
): Manifest {
  return document('networking.istio.io/v1', 'Gateway', space, name, { selector, servers });
}

/** Settings by which gateways of a namespace serve Ingresses. */
export function ingressesAt(ingressGatewayNamespace: string): Manifest {
  return meshSettings({ ingressGatewayNamespace });
}

/** A route that sends everything to port 80 of a Service. */
export function doorRoute(space: string, name: string, parent: Fields, to: string, more: Fields = {}): Manifest {
  return document('gateway.networking.k8s.io/v1', 'HTTPRoute', space, name, {
    parentRefs: [parent],
    rules: [{ backendRefs: [{ name: to, port: 80 }] }],
    ...more,
  });
}

export function tlsSecret(
  space: string,
  name: string,
  { chain, key }: { readonly chain: string; readonly key: string },
): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: space },
    type: 'kubernetes.io/tls',
    stringData: { 'tls.crt': chain, 'tls.key': key },
  };
}
