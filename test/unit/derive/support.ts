import assert from 'node:assert/strict';
import { parseManifests } from '../../../src/config/manifests/parse.ts';
import { changesBetween, nextState } from '../../../src/config/manifests/store.ts';
import { deriveMeshState } from '../../../src/derive/mesh-state.ts';
import type { MeshState, Workload } from '../../../src/model/workload.ts';

/** The state that manifests give on node `node-a`; every one of them must be valid. */
export function derive(...documents: readonly string[]): MeshState {
  const { state, problems } = nextState(new Map(), [parseManifests('m.yaml', documents.join('\n---\n'))]);
  assert.deepEqual(problems, []);
  return deriveMeshState(changesBetween(new Map(), state), { node: 'node-a' });
}

interface PodOptions {
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

/** A running pod on `node-a`. */
export function pod(name: string, options: PodOptions = {}): string {
  const { namespace = 'shop', labels = {}, annotations = {}, metadata = {}, spec = {}, status = {} } = options;
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels, annotations, ...metadata },
    spec: { nodeName: 'node-a', serviceAccountName: 'web', containers: [], ...spec },
    status: { podIPs: [{ ip: '10.0.0.1' }], ...status },
  });
}

export function resource(
  apiVersion: string,
  kind: string,
  name: string,
  namespace: string | null,
  spec: unknown,
  metadata = {},
): string {
  return JSON.stringify({
    apiVersion,
    kind,
    metadata: { name, ...(namespace === null ? {} : { namespace }), ...metadata },
    spec,
  });
}

export function authorizationPolicy(name: string, namespace: string, spec: unknown, metadata = {}): string {
  return resource('security.istio.io/v1', 'AuthorizationPolicy', name, namespace, spec, metadata);
}

export function peerAuthentication(name: string, namespace: string, spec: unknown, metadata = {}): string {
  return resource('security.istio.io/v1', 'PeerAuthentication', name, namespace, spec, metadata);
}

export function meshSettings(spec: unknown): string {
  return resource('ambit.dev/v1alpha1', 'MeshSettings', 'mesh', null, spec);
}

export function service(name: string, spec: unknown): string {
  return resource('v1', 'Service', name, 'shop', spec);
}

export function serviceEntry(name: string, spec: unknown, metadata = {}, space = 'shop'): string {
  return resource('networking.istio.io/v1', 'ServiceEntry', name, space, spec, metadata);
}

export function workloadEntry(name: string, spec: unknown, metadata = {}): string {
  return resource('networking.istio.io/v1', 'WorkloadEntry', name, 'shop', spec, metadata);
}

export function namespace(name: string, labels: Readonly<Record<string, string>>): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
}

export function workload(state: MeshState, name = 'a', space = 'shop'): Workload {
  const found = state.workloads.get(`Kubernetes//Pod/${space}/${name}`);
  assert.ok(found !== undefined, `workload ${space}/${name}`);
  return found;
}

/** A Gateway of the class of waypoints, in `shop` unless said otherwise. */
export function waypoint(name: string, options: GatewayOptions = {}): string {
  const { space = 'shop', labels = {}, annotations = {}, gatewayClassName = 'istio-waypoint' } = options;
  const { namespaces = null, addresses = [] } = options;
  const allowedRoutes = namespaces === null ? {} : { allowedRoutes: { namespaces } };
  return JSON.stringify({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name, namespace: space, labels, annotations },
    spec: { gatewayClassName, listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE', ...allowedRoutes }] },
    status: { addresses },
  });
}

interface GatewayOptions {
  readonly space?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly gatewayClassName?: string;
  readonly namespaces?: unknown;
  readonly addresses?: readonly unknown[];
}

export function reasons(state: MeshState): readonly string[] {
  return state.conditions.map(({ resource: name, type, reason }) => `${name}: ${type}/${reason}`);
}
