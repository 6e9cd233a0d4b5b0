import { namespace, pod, service } from './manifests.ts';
import type { Manifest } from './manifests.ts';

/** Documents of meshes with waypoints. */

type Fields = Readonly<Record<string, unknown>>;

export const waypointLabel = { 'istio.io/use-waypoint': 'waypoint' } as const;

/** A namespace of the mesh whose services ask for its own waypoint. */
export function waypointNamespace(name: string, labels: Readonly<Record<string, string>> = waypointLabel): Manifest {
  return namespace(name, { 'istio.io/dataplane-mode': 'ambient', ...labels });
}

export function waypointGateway(space: string, name = 'waypoint', labels: Fields = {}): Manifest {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name, namespace: space, labels },
    spec: {
      gatewayClassName: 'istio-waypoint',
      listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE', allowedRoutes: { namespaces: { from: 'All' } } }],
    },
  };
}

/** A pod of a waypoint, with the waypoint's own service account. */
export function waypointPod(space: string, address: string, name = 'waypoint'): Manifest {
  return pod({
    name: `${name}-1`,
    namespace: space,
    nodeName: 'node-1',
    netns: `${space}-${name}`,
    addresses: [address],
    serviceAccount: name,
    labels: { 'gateway.networking.k8s.io/gateway-name': name },
  });
}

/** A service whose port 80 speaks HTTP, with the pods of its name behind it. */
export function httpService(space: string, name: string, vip: string): Manifest {
  const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
  return service({ name, namespace: space, vips: [vip], ports: {}, selector: { app: name }, spec: { ports } });
}

export function appPod(
  space: string,
  name: string,
  address: string,
  labels: Readonly<Record<string, string>> = {},
): Manifest {
  const base = { namespace: space, nodeName: 'node-1', netns: name, addresses: [address] };
  return pod({ ...base, name: `${name}-${address.replaceAll('.', '-')}`, labels: { app: name, ...labels } });
}

/** A route on a service that sends everything to another one. */
export function httpRoute(space: string, name: string, parent: string, to: string, rule: Fields = {}): Manifest {
  return document('gateway.networking.k8s.io/v1', 'HTTPRoute', space, name, {
    parentRefs: [{ group: '', kind: 'Service', name: parent }],
    rules: [{ backendRefs: [{ name: to, port: 80 }], ...rule }],
  });
}

export function virtualService(space: string, name: string, host: string, to: string): Manifest {
  return document('networking.istio.io/v1', 'VirtualService', space, name, {
    hosts: [host],
    http: [{ route: [{ destination: { host: to } }] }],
  });
}

export function destinationRule(space: string, name: string, spec: Fields): Manifest {
  return document('networking.istio.io/v1', 'DestinationRule', space, name, spec);
}

export function document(apiVersion: string, kind: string, space: string, name: string, spec: Fields): Manifest {
  return { apiVersion, kind, metadata: { name, namespace: space }, spec };
}
