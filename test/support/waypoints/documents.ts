import type { Manifest, ServiceManifest } from '../manifests.ts';
import { service } from '../manifests.ts';
import { serverPorts, servicePorts } from './ports.ts';

/** Documents of the shop: its waypoint, its services and what is said of their traffic. */

export const shop = 'shop';
export const webHost = `web.${shop}.svc.cluster.local`;

/** A waypoint of the shop's namespace. */
export function gateway(name: string): Manifest {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name, namespace: shop },
    spec: {
      gatewayClassName: 'istio-waypoint',
      listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
    },
  };
}

interface HttpService extends Pick<ServiceManifest, 'name' | 'selector'> {
  readonly vip: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A Service of the shop with a port of each kind that its servers have. */
export function httpService({ name, vip, selector, labels = {} }: HttpService): Manifest {
  const ports = [
    { name: 'http', port: servicePorts.web, targetPort: serverPorts.web },
    { name: 'grpc', port: servicePorts.rpc, targetPort: serverPorts.rpc },
    { name: 'tcp', port: servicePorts.bytes, targetPort: serverPorts.bytes },
  ];
  const made = service({ name, namespace: shop, vips: [vip], ports: {}, selector, spec: { ports } });
  return { ...made, metadata: { ...made.metadata, labels } };
}

/** An HTTPRoute of the service `web` with these rules. */
export function httpRoute(rules: readonly object[], name = 'web'): Manifest {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name, namespace: shop },
    spec: { parentRefs: [{ group: '', kind: 'Service', name: 'web', port: servicePorts.web }], rules },
  };
}

/** A reference to one version of the service. */
export function toVersion(version: 'v1' | 'v2', weight?: number): object {
  return { name: `web-${version}`, port: servicePorts.web, ...(weight === undefined ? {} : { weight }) };
}

export function virtualService(http: readonly object[], name = 'web'): Manifest {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name, namespace: shop },
    spec: { hosts: [webHost], http },
  };
}

export function destinationRule(spec: Readonly<Record<string, unknown>>, name = 'web'): Manifest {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name, namespace: shop },
    spec: { host: webHost, ...spec },
  };
}

/** A destination of a VirtualService. */
export function to(version: 'v1' | 'v2'): object {
  return { destination: { host: `web-${version}`, port: { number: servicePorts.web } } };
}

/** Header of answers by which a test sees that its routes are in force. */
export const markHeader = 'x-routes';

/** A filter of an HTTPRoute that sets it. */
export function marked(value: string): object {
  return { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: markHeader, value }] } };
}

/** Likewise `headers` of a VirtualService. */
export function marking(value: string): object {
  return { response: { set: { [markHeader]: value } } };
}
