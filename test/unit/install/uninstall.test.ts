import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';

import { install } from '../../../src/install/cluster/install.ts';
import { uninstall } from '../../../src/install/cluster/uninstall.ts';
import { paths, siteWith, startInstallFixture } from '../../support/kube/install-fixture.ts';
import type { InstallFixture } from '../../support/kube/install-fixture.ts';

const site = siteWith({ strict: true, networkPolicy: { enabled: true } });
const kept = { namespace: 'istio-system', purge: false, wait: 5000 };
const purged = { ...kept, purge: true };

/** Installed beside what others have in the cluster; gives the paths that were there before. */
async function installed(context: TestContext): Promise<InstallFixture & { readonly before: readonly string[] }> {
  const fixture = await startInstallFixture(context);
  put(fixture, '/api/v1/namespaces/apps', 'Namespace', 'apps');
  put(fixture, '/apis/rbac.authorization.k8s.io/v1/clusterroles/admin', 'ClusterRole', 'admin');
  const before = [...fixture.applier.stored.keys()];
  await install(fixture.tools, { site, force: false, dryRun: false, wait: null });
  return { ...fixture, before };
}

function put({ applier }: InstallFixture, path: string, kind: string, name: string, labels = {}): void {
  const [, namespace] = /\/namespaces\/([^/]+)\/[^/]+\//.exec(path) ?? [];
  const metadata = { name, labels, ...(namespace === undefined ? {} : { namespace }) };
  applier.put(path, { apiVersion: 'v1', kind, metadata });
}

const [gatewayClass, doorClass] = ['istio-waypoint', 'istio'].map(
  (name) => `/apis/gateway.networking.k8s.io/v1/gatewayclasses/${name}`,
) as [string, string];

/** An object at that path, of the kind that it says. */
function putMade({ applier }: InstallFixture, path: string, metadata: object): void {
  const [, namespace] = /\/namespaces\/([^/]+)\/[^/]+\//.exec(path) ?? [];
  const name = path.split('/').at(-1) ?? '';
  const place = namespace === undefined ? { name } : { name, namespace };
  applier.put(path, { apiVersion: 'v1', kind: 'Made', metadata: { ...place, ...metadata } });
}

/** What the control plane makes while it runs. */
function putRuntimeObjects(fixture: InstallFixture): void {
  for (const namespace of ['istio-system', 'apps']) {
    const path = `/api/v1/namespaces/${namespace}/configmaps/istio-ca-root-cert`;
    put(fixture, path, 'ConfigMap', 'istio-ca-root-cert');
  }
  for (const name of ['istio-ca-secret', 'ambit-ca-root-key']) {
    put(fixture, `/api/v1/namespaces/istio-system/secrets/${name}`, 'Secret', name);
  }
  const lease = '/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/ambit-leader';
  put(fixture, lease, 'Lease', 'ambit-leader');
}

function deleted({ server }: InstallFixture): readonly string[] {
  return server.requests.filter(({ method }) => method === 'DELETE').map(({ path }) => path);
}

describe('uninstalling', () => {
  test('leaves the namespace, the definitions and the CA', async (context) => {
    const fixture = await installed(context);
    putRuntimeObjects(fixture);
    await uninstall(fixture.tools, kept);
    const left = [...fixture.applier.stored.keys()].filter((path) => !fixture.before.includes(path));
    const expected = /(namespaces\/istio-system|customresourcedefinitions\/[^/]+|secrets\/[^/]+|istio-ca-root-cert)$/;
    assert.deepEqual(
      left.filter((path) => !expected.test(path)),
      [],
    );
    assert.equal(left.filter((path) => path.startsWith(paths.definitions)).length, 11);
    assert.equal(left.filter((path) => path.includes('/secrets/')).length, 2);
  });

  test('a purge leaves what was there before, and nothing else', async (context) => {
    const fixture = await installed(context);
    putRuntimeObjects(fixture);
    await uninstall(fixture.tools, purged);
    assert.deepEqual([...fixture.applier.stored.keys()], fixture.before);
  });

  test('takes away what was made for Gateways, and their classes, and nothing that is another’s', async (context) => {
    const fixture = await installed(context);
    const managed = { 'gateway.istio.io/managed': 'istio.io-mesh-controller' };
    const made = { labels: managed, annotations: { 'ambit.dev/applied': 'x' } };
    const place = (base: string, plural: string, name: string) => `${base}/namespaces/apps/${plural}/${name}`;
    const ours = [
      place('/apis/apps/v1', 'deployments', 'waypoint'),
      place('/api/v1', 'services', 'waypoint'),
      place('/api/v1', 'serviceaccounts', 'waypoint'),
      place('/apis/autoscaling/v2', 'horizontalpodautoscalers', 'waypoint'),
    ];
    const theirs = place('/apis/apps/v1', 'deployments', 'of-istio');
    putMade(fixture, theirs, { labels: managed });
    for (const path of ours) putMade(fixture, path, made);
    for (const path of [gatewayClass, doorClass])
      putMade(fixture, path, { managedFields: [{ manager: 'ambit-waypoints' }] });
    await uninstall(fixture.tools, kept);
    const left = [...fixture.applier.stored.keys()];
    assert.deepEqual(
      [...ours, gatewayClass, doorClass].filter((path) => left.includes(path)),
      [],
    );
    assert.ok(left.includes(theirs));
    const order = deleted(fixture);
    const control = '/apis/apps/v1/namespaces/istio-system/deployments/istiod';
    assert.ok(order.indexOf(control) < order.indexOf(ours[0] ?? ''), 'the control plane would make them anew');
    assert.ok(fixture.lines.includes('removed    Deployment apps/waypoint'));
  });

  test('leaves a class of waypoints that somebody else has made', async (context) => {
    const fixture = await installed(context);
    const managedFields = [{ manager: 'pilot' }, { manager: 'ambit-waypoints', subresource: 'status' }];
    putMade(fixture, gatewayClass, { managedFields });
    await uninstall(fixture.tools, kept);
    assert.notEqual(fixture.applier.get(gatewayClass), null);
  });

  test('a purge leaves a namespace that holds something else, and the CA that the operator made', async (context) => {
    const fixture = await installed(context);
    put(fixture, '/api/v1/namespaces/istio-system/secrets/cacerts', 'Secret', 'cacerts');
    await uninstall(fixture.tools, purged);
    assert.notEqual(fixture.applier.get('/api/v1/namespaces/istio-system/secrets/cacerts'), null);
    assert.notEqual(fixture.applier.get(paths.namespace), null);
    assert.ok(fixture.lines.includes('left       Namespace istio-system, which also holds secrets/cacerts'));
  });

  test('a purge takes the namespace also while the last pods of the control plane are going', async (context) => {
    const fixture = await installed(context);
    const labels = { app: 'istiod', 'app.kubernetes.io/part-of': 'ambit' };
    put(fixture, '/api/v1/namespaces/istio-system/pods/istiod-1', 'Pod', 'istiod-1', labels);
    await uninstall(fixture.tools, purged);
    assert.equal(fixture.applier.get(paths.namespace), null);
  });

  test('a purge leaves the definitions of others', async (context) => {
    const fixture = await startInstallFixture(context);
    const path = `${paths.definitions}/peerauthentications.security.istio.io`;
    fixture.applier.put(path, {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'peerauthentications.security.istio.io' },
      spec: { versions: [{ name: 'v1', served: true }] },
      status: { conditions: [{ type: 'Established', status: 'True' }] },
    });
    await install(fixture.tools, { site, force: false, dryRun: false, wait: null });
    await uninstall(fixture.tools, purged);
    assert.notEqual(fixture.applier.get(path), null);
  });

  test('agents go first, and keep their rights until the last is gone', async (context) => {
    const fixture = await installed(context);
    const labels = { app: 'ztunnel', 'app.kubernetes.io/part-of': 'ambit' };
    put(fixture, '/api/v1/namespaces/istio-system/pods/ztunnel-1', 'Pod', 'ztunnel-1', labels);
    await assert.rejects(uninstall(fixture.tools, kept), { code: 'PODS_REMAIN', message: /pod ztunnel-1 on no node/ });
    assert.deepEqual(deleted(fixture), [paths.agents]);
    assert.notEqual(fixture.applier.get(paths.agentRole), null);
    fixture.applier.stored.delete('/api/v1/namespaces/istio-system/pods/ztunnel-1');
    await uninstall(fixture.tools, kept);
    assert.equal(fixture.applier.get(paths.agentRole), null);
  });

  test('deletes only the very objects that it has seen', async (context) => {
    const fixture = await installed(context);
    const uid = fixture.applier.get(paths.agents)?.metadata.uid;
    await uninstall(fixture.tools, kept);
    const request = fixture.server.requests.find(({ method, path }) => method === 'DELETE' && path === paths.agents);
    assert.deepEqual(request?.body, { propagationPolicy: 'Foreground', preconditions: { uid } });
  });

  test('in a cluster without a mesh says so', async (context) => {
    const fixture = await startInstallFixture(context);
    await assert.rejects(uninstall(fixture.tools, purged), { code: 'NOT_INSTALLED' });
  });

  test('from another namespace says where it is', async (context) => {
    const fixture = await installed(context);
    await assert.rejects(uninstall(fixture.tools, { ...kept, namespace: 'mesh' }), {
      code: 'INSTALLED_ELSEWHERE',
      message: /--namespace istio-system/,
    });
    assert.deepEqual(deleted(fixture), []);
  });
});
