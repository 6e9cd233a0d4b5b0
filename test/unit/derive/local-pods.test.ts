import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derive, meshSettings, namespace, pod, reasons, resource, workload } from './support.ts';

const ambient = { 'istio.io/dataplane-mode': 'ambient' };

void describe('a NetworkPolicy', () => {
  const selecting = (podSelector: unknown, space = 'shop') =>
    resource('networking.k8s.io/v1', 'NetworkPolicy', 'n', space, { podSelector, policyTypes: ['Ingress'] });
  const labelled = pod('a', { labels: { app: 'web' } });
  for (const [selector, expected] of [
    [{}, true],
    [{ matchLabels: { app: 'web' } }, true],
    [{ matchLabels: { app: 'db' } }, false],
    [{ matchExpressions: [{ key: 'app', operator: 'In', values: ['db', 'web'] }] }, true],
    [{ matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['web'] }] }, false],
    [{ matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['x'] }] }, true],
    [{ matchExpressions: [{ key: 'app', operator: 'Exists' }] }, true],
    [{ matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] }, false],
    [{ matchLabels: { app: 'web' }, matchExpressions: [{ key: 'tier', operator: 'Exists' }] }, false],
    [{ matchLabels: { constructor: 'x' } }, false],
  ] as const) {
    test(`${JSON.stringify(selector)} ${expected ? 'selects' : 'does not select'} the pod`, () => {
      assert.equal(workload(derive(selecting(selector), labelled)).selectedByNetworkPolicy, expected);
    });
  }

  test('of another namespace does not select the pod', () => {
    assert.equal(workload(derive(selecting({}, 'other'), labelled)).selectedByNetworkPolicy, false);
  });

  test('of a kind that only the CNI reads may select every pod', () => {
    const foreign = resource('cilium.io/v2', 'CiliumNetworkPolicy', 'n', 'other', {});
    assert.equal(workload(derive(foreign, labelled)).selectedByNetworkPolicy, true);
  });
});

void describe('a local pod', () => {
  const local = (...documents: readonly string[]) => [...derive(...documents).localPods.values()];

  test('is one of this node that has a network of its own', () => {
    const found = local(
      pod('a'),
      pod('b', { spec: { nodeName: 'node-b' } }),
      pod('c', { spec: { hostNetwork: true } }),
    );
    assert.deepEqual(
      found.map(({ name }) => name),
      ['a'],
    );
    assert.equal(found[0]?.identity, 'spiffe://cluster.local/ns/shop/sa/web');
    assert.equal(found[0].workload, 'Kubernetes//Pod/shop/a');
  });

  test('has the UID of Kubernetes, else one that stays', () => {
    assert.equal(local(pod('a', { metadata: { uid: 'x-1' } }))[0]?.uid, 'x-1');
    const uid = local(pod('a'))[0]?.uid ?? '';
    assert.match(uid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(local(pod('a', { labels: { x: 'y' }, status: { podIPs: [{ ip: '10.0.0.2' }] } }))[0]?.uid, uid);
    assert.notEqual(local(pod('b'))[0]?.uid, uid);
  });

  test('is not taken in where another claims its UID', () => {
    const at = (ip: string) => ({ status: { podIPs: [{ ip }] } });
    const state = derive(
      pod('a', { metadata: { uid: 'x' }, ...at('10.0.0.1') }),
      pod('b', { metadata: { uid: 'x' }, ...at('10.0.0.2') }),
      pod('c', at('10.0.0.3')),
    );
    assert.deepEqual(
      [...state.localPods.values()].map(({ name }) => name),
      ['c'],
    );
    assert.deepEqual(reasons(state), ['Pod shop/a: Enrolled/DuplicateUid', 'Pod shop/b: Enrolled/DuplicateUid']);
  });

  for (const [given, expected] of [
    ['web', '/run/netns/web'],
    ['/proc/1/ns/net', '/proc/1/ns/net'],
    ['../x', null],
    ['a/b', null],
    ['..', null],
    ['', null],
  ] as const) {
    test(`annotated ${JSON.stringify(given)} has network namespace ${expected ?? 'none'}`, () => {
      const state = derive(pod('a', { labels: ambient, annotations: { 'ambit.dev/netns': given } }));
      assert.equal([...state.localPods.values()][0]?.netns, expected);
      assert.equal(reasons(state).length, expected === null ? 1 : 0);
    });
  }

  for (const [own, ofNamespace, expected] of [
    [undefined, undefined, null],
    ['true', undefined, true],
    ['false', 'true', false],
    [undefined, 'true', true],
    ['yes', 'false', false],
  ] as const) {
    test(`has names captured: ${expected}, where it says ${own} and its namespace ${ofNamespace}`, () => {
      const word = 'ambient.istio.io/dns-capture';
      const annotations = { 'ambit.dev/netns': 'a', ...(own === undefined ? {} : { [word]: own }) };
      const space = namespace('shop', ofNamespace === undefined ? {} : { [word]: ofNamespace });
      const state = derive(space, pod('a', { labels: ambient, annotations }));
      assert.equal([...state.localPods.values()][0]?.dnsCapture, expected);
      assert.equal(reasons(state).length, own === 'yes' ? 1 : 0);
    });
  }

  test('has the ports that its probes and hooks name', () => {
    const containers = [
      {
        name: 'c',
        ports: [{ name: 'http', containerPort: 8080 }],
        livenessProbe: { httpGet: { port: 'http', path: '/' }, periodSeconds: 1 },
        readinessProbe: { tcpSocket: { port: 9000 } },
        startupProbe: { grpc: { port: 50051 } },
        lifecycle: { postStart: { httpGet: { port: '7000' } }, preStop: { exec: { command: ['x'] } } },
      },
      {
        name: 'd',
        livenessProbe: { httpGet: { port: 'http' } },
        readinessProbe: { httpGet: { port: 1, host: '192.0.2.1' } },
      },
      {
        name: 'e',
        livenessProbe: { httpGet: { port: 2, host: '10.0.0.1' } },
        readinessProbe: { httpGet: { port: 9000 } },
      },
    ];
    const initContainers = [{ name: 'i', restartPolicy: 'Always', startupProbe: { tcpSocket: { port: 3 } } }];
    assert.deepEqual(
      local(pod('a', { spec: { containers, initContainers } }))[0]?.probePorts,
      [2, 3, 7000, 8080, 9000, 50051],
    );
  });

  test('has the trust domain of the settings in its identity', () => {
    assert.equal(local(meshSettings({ trustDomain: 'corp' }), pod('a'))[0]?.identity, 'spiffe://corp/ns/shop/sa/web');
  });
});
