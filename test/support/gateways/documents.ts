import { meshSettings, service } from '../manifests.ts';
import type { Manifest } from '../manifests.ts';
import { shop } from '../waypoints/documents.ts';
import { edgePorts } from './ports.ts';

/** Documents of gateways: doors of the mesh, the certificates that they show, and what they lead to. */

type Fields = Readonly<Record<string, unknown>>;

/** The namespace of the gateway's own pods. */
export const edge = 'edge';
export const edgeName = 'gateway';
/** What an Istio Gateway and an Ingress find the gateway's pods by. */
export const edgeLabels = { istio: 'ingressgateway' } as const;

function document(apiVersion: string, kind: string, space: string, name: string, spec: Fields): Manifest {
  return { apiVersion, kind, metadata: { name, namespace: space }, spec };
}

/** The Service before the gateway's pods. @param targets ports of the pods, by port of the Service */
export function edgeService(vips: readonly string[], targets: Readonly<Record<number, number>>): Manifest {
  return service({ name: edgeName, namespace: edge, vips, ports: targets, selector: edgeLabels });
}

/** A Gateway of class `istio` whose listeners let every namespace in, unless they say otherwise. */
export function gateway(listeners: readonly Fields[], name = edgeName): Manifest {
  const allowedRoutes = { namespaces: { from: 'All' } };
  return document('gateway.networking.k8s.io/v1', 'Gateway', edge, name, {
    gatewayClassName: 'istio',
    infrastructure: { labels: edgeLabels },
    listeners: listeners.map((listener) => ({ allowedRoutes, ...listener })),
  });
}

export function httpListener(fields: Fields = {}): Fields {
  return { name: 'http', port: edgePorts.http, protocol: 'HTTP', ...fields };
}

/** @param secret `NAME` of the gateway's namespace, or `NAMESPACE/NAME` */
export function httpsListener(name: string, hostname: string, secret: string, tls: Fields = {}): Fields {
  const [first = '', second] = secret.split('/');
  const reference = second === undefined ? { name: first } : { namespace: first, name: second };
  return {
    ...{ name, hostname, port: edgePorts.https, protocol: 'HTTPS' },
    tls: { mode: 'Terminate', certificateRefs: [{ kind: 'Secret', ...reference }], ...tls },
  };
}

export function istioGateway(
  name: string,
  servers: readonly Fields[],
  { space = edge, selector = edgeLabels }: { readonly space?: string; readonly selector?: Fields } = {},
): Manifest {
  return document('networking.istio.io/v1', 'Gateway', space, name, { selector, servers });
}

/** A server of an Istio Gateway. */
export function server(protocol: string, number: number, hosts: readonly string[], tls?: Fields): Fields {
  const port = { number, name: `${protocol.toLowerCase()}-${number}`, protocol };
  return { port, hosts, ...(tls === undefined ? {} : { tls }) };
}

export function gatewayVirtualService(
  name: string,
  hosts: readonly string[],
  spec: Fields,
  { space = shop, gateways = [`${edge}/${edgeName}`] }: { space?: string; gateways?: readonly string[] } = {},
): Manifest {
  return document('networking.istio.io/v1', 'VirtualService', space, name, { hosts, gateways, ...spec });
}

/** `http` or `tcp` of a VirtualService that sends everything to one service. */
export function routeTo(host: string, number: number, fields: Fields = {}): readonly Fields[] {
  return [{ route: [{ destination: { host, port: { number } } }], ...fields }];
}

interface RouteOptions {
  readonly space?: string;
  readonly hostnames?: readonly string[];
  /** The listener that it is attached to; all of them unless given. */
  readonly section?: string;
  readonly parent?: Fields;
}

/** A route of the Gateway API that is attached to the gateway. */
export function gatewayRoute(
  kind: 'HTTPRoute' | 'GRPCRoute' | 'TCPRoute' | 'TLSRoute',
  name: string,
  rules: readonly Fields[],
  { space = shop, hostnames = [], section, parent = {} }: RouteOptions = {},
): Manifest {
  const version = kind === 'TCPRoute' ? 'v1alpha2' : 'v1';
  const sectionName = section === undefined ? {} : { sectionName: section };
  return document(`gateway.networking.k8s.io/${version}`, kind, space, name, {
    parentRefs: [{ name: edgeName, namespace: edge, ...sectionName, ...parent }],
    ...(hostnames.length === 0 ? {} : { hostnames }),
    rules,
  });
}

/** Settings by which the gateway serves Ingresses, though it is not of the root namespace. */
export const ingressesAtEdge = meshSettings({ ingressGatewayNamespace: edge });

export function ingress(name: string, host: string, backend: string, spec: Fields = {}): Manifest {
  const toBackend = { service: { name: backend, port: { number: 80 } } };
  const paths = [{ path: '/', pathType: 'Prefix', backend: toBackend }];
  return document('networking.k8s.io/v1', 'Ingress', shop, name, {
    ...{ ingressClassName: 'istio', rules: [{ host, http: { paths } }] },
    ...spec,
  });
}

export interface Certificate {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
}

/** A Secret of type `kubernetes.io/tls`. @param roots of clients, PEM */
export function tlsSecret(name: string, { certificate, key }: Certificate, options: SecretOptions = {}): Manifest {
  const { space = edge, roots } = options;
  const data = { 'tls.crt': certificate, 'tls.key': key, ...(roots === undefined ? {} : { 'ca.crt': roots }) };
  return secret(name, space, 'kubernetes.io/tls', data);
}

interface SecretOptions {
  readonly space?: string;
  readonly roots?: string;
}

/** A Secret that holds the roots of clients and nothing else. */
export function rootsSecret(name: string, roots: string): Manifest {
  return secret(name, edge, 'Opaque', { cacert: roots });
}

function secret(name: string, space: string, type: string, texts: Readonly<Record<string, string>>): Manifest {
  const data = Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
  return {
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: space } },
    ...{ type, data: Object.fromEntries(data) as Record<string, string> },
  };
}

/** Lets what a Gateway of the edge names in another namespace. */
export function secretGrant(space: string): Manifest {
  return document('gateway.networking.k8s.io/v1beta1', 'ReferenceGrant', space, 'edge', {
    from: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', namespace: edge }],
    to: [{ group: '', kind: 'Secret' }],
  });
}
