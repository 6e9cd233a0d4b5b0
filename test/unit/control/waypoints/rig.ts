import type { TestContext } from 'node:test';

import type { GatewayReport } from '../../../../src/control/gateway-report.ts';
import type { Condition } from '../../../../src/model/workload.ts';
import { readGateway } from '../../../../src/control/waypoints/gateway-object.ts';
import type { GatewayObject } from '../../../../src/control/waypoints/gateway-object.ts';
import { deployWaypoints } from '../../../../src/control/waypoints/deploy-waypoints.ts';
import type { DeploymentTerms } from '../../../../src/control/waypoints/deployment-terms.ts';
import type { KubeObject } from '../../../../src/kube/objects.ts';
import type { FakeApiServer, SeenRequest } from '../../../support/kube/fake-api-server.ts';
import { quietObserver, startFakeCluster } from '../../../support/kube/fake-cluster.ts';
import type { FakeCluster } from '../../../support/kube/fake-cluster.ts';

export const gatewayApi = '/apis/gateway.networking.k8s.io/v1';

export const terms: DeploymentTerms = {
  image: 'envoy:1',
  pullPolicy: 'IfNotPresent',
  pullSecrets: ['registry'],
  resources: { requests: { cpu: '100m' }, limits: { cpu: '1500m', memory: '1Gi' } },
  drain: 20_000,
};

/** A Gateway as the API server has it. */
export function gatewayObject(metadata: object = {}, spec: object = {}): KubeObject {
  const listeners = [{ name: 'mesh', port: 15008, protocol: 'HBONE' }];
  return {
    metadata: { name: 'waypoint', namespace: 'shop', uid: 'uid-of-gateway', generation: 3, ...metadata },
    spec: { gatewayClassName: 'istio-waypoint', listeners, ...spec },
  } as KubeObject;
}

export function gateway(metadata: object = {}, spec: object = {}, status: object = {}): GatewayObject {
  const read = readGateway({ ...gatewayObject(metadata, spec), status } as KubeObject);
  if (read === null) throw new Error('the Gateway cannot be read');
  return read;
}

/** Of the class of gateways, with a listener for HTTP and one for HTTPS. */
export const doorSpec = {
  gatewayClassName: 'istio',
  listeners: [
    { name: 'web', port: 80, protocol: 'HTTP' },
    { name: 'secure', port: 443, protocol: 'HTTPS' },
  ],
};

/** The deployer on an API server that stores what is applied, and tells watchers. */
export interface DeployerRig extends FakeCluster {
  readonly failures: unknown[];
  readonly notes: Condition[];
  /** By resource. */
  readonly reports: Map<string, GatewayReport>;
  /** Methods and paths of writes, in their order. */
  readonly written: () => readonly string[];
  /** What is stored; null: nothing. */
  readonly stored: (path: string) => StoredObject | null;
  /** As somebody else would, also as a controller that reports. */
  readonly put: (collection: string, object: KubeObject) => void;
  readonly run: () => void;
}

export interface StoredObject {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>>; readonly resourceVersion?: string };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

const collections = ['/api/v1/services', '/api/v1/serviceaccounts', '/apis/apps/v1/deployments'];

export async function startDeployer(context: TestContext): Promise<DeployerRig> {
  const cluster = await startFakeCluster(context);
  const { server } = cluster;
  const objects = new Map<string, StoredObject>();
  const plurals = ['gateways', 'gatewayclasses', 'listenersets'].map((plural) => `${gatewayApi}/${plural}`);
  for (const collection of [...collections, ...plurals]) server.define(collection);
  server.onRead = (path) => objects.get(path) ?? null;
  server.onWrite = (request) => store(server, objects, request);
  const abort = new AbortController();
  const notes: Condition[] = [];
  const reports = new Map<string, GatewayReport>();
  const failures: unknown[] = [];
  let running: Promise<void> = Promise.resolve();
  context.after(async () => {
    abort.abort();
    await running;
  });
  const run = (): void => {
    running = deployWaypoints(
      {
        ...cluster,
        terms,
        clusterDomain: () => 'cluster.local',
        notes: () => notes,
        reports: () => reports,
        random: () => 0.5,
        observe: quietObserver,
        onFailure: (_name, error) => failures.push(error),
      },
      abort.signal,
    );
  };
  return {
    ...cluster,
    failures,
    notes,
    reports,
    run,
    put: (collection, object) => {
      const { namespace, name } = object.metadata;
      const plural = collection.split('/').at(-1) ?? '';
      const base = collection.slice(0, -plural.length);
      const place = namespace === undefined ? plural : `namespaces/${namespace}/${plural}`;
      objects.set(`${base}${place}/${name}`, object);
      server.putWhole(collection, object);
    },
    written: () => server.requests.flatMap(({ kind, method, path }) => (kind === 'write' ? [`${method} ${path}`] : [])),
    stored: (path) => objects.get(path) ?? null,
  };
}

/** As server-side apply, without owners of fields. */
function store(
  server: FakeApiServer,
  objects: Map<string, StoredObject>,
  { path, body }: SeenRequest,
): { readonly status: number; readonly body: unknown } {
  const target = path.replace(/\/status$/, '');
  const [, base = '', plural = ''] =
    /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/[^/]+)?\/([^/]+)\/[^/]+$/.exec(target) ?? [];
  const former = objects.get(target);
  const applied = body as KubeObject;
  const object = { ...former, ...applied, metadata: { ...former?.metadata, ...applied.metadata } };
  objects.set(target, object);
  server.putWhole(`${base}/${plural}`, object);
  return { status: 200, body: object };
}
