import assert from 'node:assert/strict';
import { parseManifests } from '../../../../src/config/manifests/parse.ts';
import { formatProblem } from '../../../../src/config/manifests/resources.ts';
import type { DocumentTypes, ResourceKind } from '../../../../src/config/manifests/resources.ts';

type Fields = Readonly<Record<string, unknown>>;

/** What is made of a manifest of that kind; it must be valid. */
function read<Kind extends ResourceKind>(kind: Kind, manifest: Fields): DocumentTypes[Kind] {
  const { documents, problems } = parseManifests('m.yaml', JSON.stringify(manifest));
  const [document] = documents;
  assert.deepEqual([...problems, ...(document?.problems ?? [])].map(formatProblem), []);
  assert.ok(document?.resource?.kind === kind);
  return document.resource.document as DocumentTypes[Kind];
}

function manifest(apiVersion: string, kind: string, name: string, spec: Fields, metadata: Fields = {}): Fields {
  return { apiVersion, kind, metadata: { name, namespace: 'shop', ...metadata }, spec };
}

const gatewayApi = 'gateway.networking.k8s.io/v1';

export function gateway(
  listeners: readonly Fields[],
  spec: Fields = {},
  metadata: Fields = {},
): DocumentTypes['Gateway'] {
  return read(
    'Gateway',
    manifest(gatewayApi, 'Gateway', 'web', { gatewayClassName: 'istio', listeners, ...spec }, metadata),
  );
}

export function listenerSet(
  listeners: readonly Fields[],
  metadata: Fields = {},
  parentRef: Fields = { name: 'web' },
): DocumentTypes['ListenerSet'] {
  return read('ListenerSet', manifest(gatewayApi, 'ListenerSet', 'more', { parentRef, listeners }, metadata));
}

export function experimentalSet(listeners: readonly Fields[]): DocumentTypes['ListenerSet'] {
  const spec = { parentRef: { name: 'web' }, listeners };
  return read('ListenerSet', manifest('gateway.networking.x-k8s.io/v1alpha1', 'XListenerSet', 'more', spec));
}

export function istioGateway(servers: readonly Fields[], metadata: Fields = {}): DocumentTypes['IstioGateway'] {
  return read('IstioGateway', manifest('networking.istio.io/v1', 'Gateway', 'web', { servers }, metadata));
}

export function ingress(spec: Fields, metadata: Fields = {}): DocumentTypes['Ingress'] {
  return read('Ingress', manifest('networking.k8s.io/v1', 'Ingress', 'web', spec, metadata));
}

export function ingressClass(name: string, controller: string): DocumentTypes['IngressClass'] {
  return read('IngressClass', manifest('networking.k8s.io/v1', 'IngressClass', name, { controller }));
}

export function secret(
  data: Readonly<Record<string, string | Uint8Array>>,
  type = 'kubernetes.io/tls',
): DocumentTypes['Secret'] {
  const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')] as const);
  const metadata = { name: 'web', namespace: 'shop' };
  return read('Secret', { apiVersion: 'v1', kind: 'Secret', metadata, type, data: Object.fromEntries(encoded) });
}

export function configMap(data: Readonly<Record<string, string>>): DocumentTypes['ConfigMap'] {
  return read('ConfigMap', {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'roots', namespace: 'shop' },
    data,
  });
}
