import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derive, namespace, pod, workload } from './support.ts';

const ambient = { 'istio.io/dataplane-mode': 'ambient' };
const none = { 'istio.io/dataplane-mode': 'none' };

void describe('a workload', () => {
  test('is a pod with an address', () => {
    const found = workload(derive(pod('a', { status: { podIPs: [{ ip: '10.0.0.1' }, { ip: 'FD00::0:1' }] } })));
    assert.equal(found.uid, 'Kubernetes//Pod/shop/a');
    assert.deepEqual(found.addresses, ['10.0.0.1', 'fd00::1']);
    assert.equal(found.serviceAccount, 'web');
    assert.equal(found.trustDomain, 'cluster.local');
    assert.equal(found.node, 'node-a');
    assert.equal(found.capacity, 1);
  });

  test('is found by podIP alone too', () => {
    assert.deepEqual(workload(derive(pod('a', { status: { podIPs: [], podIP: '10.0.0.9' } }))).addresses, ['10.0.0.9']);
  });

  for (const status of [{ podIPs: [] }, { podIPs: [], podIP: '' }, { phase: 'Succeeded' }, { phase: 'Failed' }]) {
    test(`is not a pod with ${JSON.stringify(status)}`, () => {
      const state = derive(pod('a', { status }));
      assert.equal(state.workloads.size + state.localPods.size, 0);
    });
  }

  for (const [what, options, expected] of [
    ['no conditions', {}, 'healthy'],
    ['Ready True', { status: { conditions: [{ type: 'Ready', status: 'True' }] } }, 'healthy'],
    ['Ready False', { status: { conditions: [{ type: 'Ready', status: 'False' }] } }, 'unhealthy'],
    ['Ready Unknown', { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } }, 'unhealthy'],
    ['another condition False', { status: { conditions: [{ type: 'Initialized', status: 'False' }] } }, 'healthy'],
    ['a deletion time', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }, 'unhealthy'],
  ] as const) {
    test(`with ${what} is ${expected}`, () => {
      assert.equal(workload(derive(pod('a', options))).status, expected);
    });
  }

  for (const [owner, labels, name, type] of [
    [null, {}, 'a', 'pod'],
    [{ kind: 'ReplicaSet', name: 'web-5d4f8b7c9d' }, { 'pod-template-hash': '5d4f8b7c9d' }, 'web', 'deployment'],
    [{ kind: 'ReplicaSet', name: 'web-api-x' }, { 'pod-template-hash': 'x' }, 'web-api', 'deployment'],
    [{ kind: 'ReplicaSet', name: 'web-5d4f8b7c9d' }, {}, 'web', 'deployment'],
    [{ kind: 'ReplicaSet', name: 'web-server' }, {}, 'web-server', 'deployment'],
    [{ kind: 'StatefulSet', name: 'db' }, {}, 'db', 'pod'],
    [{ kind: 'Job', name: 'import' }, {}, 'import', 'job'],
    [{ kind: 'Job', name: 'nightly-28934560' }, {}, 'nightly', 'cronjob'],
  ] as const) {
    test(`of ${JSON.stringify(owner)} is the ${type} ${name}`, () => {
      const ownerReferences = owner === null ? [] : [{ ...owner, controller: true }];
      const found = workload(derive(pod('a', { labels, metadata: { ownerReferences } })));
      assert.deepEqual([found.workloadName, found.workloadType], [name, type]);
    });
  }

  for (const [labels, name, revision] of [
    [{}, 'a', 'latest'],
    [{ app: 'x', version: 'v1' }, 'x', 'v1'],
    [{ app: 'x', 'app.kubernetes.io/name': 'y', version: 'v1', 'app.kubernetes.io/version': '2' }, 'y', '2'],
    [{ app: 'x', 'service.istio.io/canonical-name': 'z', 'service.istio.io/canonical-revision': '3' }, 'z', '3'],
    [{ app: '' }, 'a', 'latest'],
  ] as const) {
    test(`labelled ${JSON.stringify(labels)} is called ${name} ${revision}`, () => {
      const found = workload(derive(pod('a', { labels })));
      assert.deepEqual([found.canonicalName, found.canonicalRevision], [name, revision]);
    });
  }

  test('is where its node is', () => {
    const labels = {
      'topology.kubernetes.io/region': 'r',
      'topology.kubernetes.io/zone': 'z',
      'topology.istio.io/subzone': 's',
    };
    const node = JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-a', labels } });
    assert.deepEqual(workload(derive(node, pod('a'))).locality, { region: 'r', zone: 'z', subzone: 's' });
    assert.deepEqual(workload(derive(pod('a'))).locality, { region: '', zone: '', subzone: '' });
  });

  for (const [options, protocol, nativeTunnel] of [
    [{ labels: { 'networking.istio.io/tunnel': 'http' } }, 'hbone', true],
    [{ annotations: { 'networking.istio.io/tunnel': 'http' } }, 'hbone', true],
    [{ annotations: { 'ambient.istio.io/redirection': 'enabled' } }, 'hbone', false],
    [{ annotations: { 'ambient.istio.io/redirection': 'pending' } }, 'tcp', false],
    [{ labels: { 'networking.istio.io/tunnel': 'other' } }, 'tcp', false],
  ] as const) {
    test(`outside the mesh with ${JSON.stringify(options)} speaks ${protocol}`, () => {
      const found = workload(derive(pod('a', options)));
      assert.deepEqual([found.protocol, found.nativeTunnel], [protocol, nativeTunnel]);
    });
  }

  for (const [space, own, options, expected] of [
    [ambient, {}, {}, 'hbone'],
    [ambient, none, {}, 'tcp'],
    [ambient, { 'istio.io/dataplane-mode': 'other' }, {}, 'hbone'],
    [{}, ambient, {}, 'hbone'],
    [none, ambient, {}, 'hbone'],
    [{}, {}, {}, 'tcp'],
    [ambient, ambient, { spec: { hostNetwork: true } }, 'tcp'],
    [ambient, ambient, { annotations: { 'sidecar.istio.io/status': '{}' } }, 'tcp'],
    [ambient, ambient, { annotations: { 'kubernetes.io/config.mirror': '8f14e45f' } }, 'tcp'],
  ] as const) {
    test(`in a namespace ${JSON.stringify(space)}, itself ${JSON.stringify({ ...own, ...options })}, speaks ${expected}`, () => {
      const state = derive(namespace('shop', space), pod('a', { labels: own, ...options }));
      assert.equal(workload(state).protocol, expected);
      const [local] = state.localPods.values();
      if (local !== undefined) assert.equal(local.wanted, expected === 'hbone');
    });
  }
});
