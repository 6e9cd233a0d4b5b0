import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LocalPod, MeshState, Workload } from '../../../src/model/workload.ts';
import { authorizationPolicy, derive, pod, reasons, resource, waypoint, workload } from './support.ts';

const netns = { 'ambit.dev/netns': 'g' };
const template = { ...netns, 'inject.istio.io/templates': 'gateway' };
const named = (name: string) => ({ 'gateway.networking.k8s.io/gateway-name': name });
const door = waypoint('g', { gatewayClassName: 'istio' });
const tunnel = { protocol: 'proxy', port: 15088, gateway: true } as const;

function local(state: MeshState): Pick<LocalPod, 'wanted' | 'handover' | 'bypassInbound'> | undefined {
  const [only] = state.localPods.values();
  if (only === undefined) return undefined;
  const { wanted, handover, bypassInbound } = only;
  return { wanted, handover, bypassInbound };
}

function tunnelOf(state: MeshState): Workload['applicationTunnel'] {
  return workload(state, 'g-1').applicationTunnel;
}

const proxy = { wanted: true, handover: true, bypassInbound: true };
const outside = { wanted: false, handover: false, bypassInbound: false };

void describe('a pod is a proxy of a gateway', () => {
  const cases: readonly [string, readonly string[]][] = [
    ['that the Gateway of its label names', [door, pod('g-1', { labels: named('g'), annotations: netns })]],
    [
      'whose class has our controller',
      [
        waypoint('g', { gatewayClassName: 'own' }),
        resource('gateway.networking.k8s.io/v1', 'GatewayClass', 'own', null, {
          controllerName: 'istio.io/gateway-controller',
        }),
        pod('g-1', { labels: named('g'), annotations: netns }),
      ],
    ],
    ['by the template of the stock chart', [pod('g-1', { annotations: template })]],
    [
      'by that, also where the chart has labelled it as nothing of ambient',
      [pod('g-1', { annotations: template, labels: { 'istio.io/dataplane-mode': 'none' } })],
    ],
    [
      'by one template of several',
      [pod('g-1', { annotations: { ...netns, 'inject.istio.io/templates': 'sidecar, gateway' } })],
    ],
  ];
  for (const [name, documents] of cases) {
    test(name, () => {
      const state = derive(...documents);
      assert.deepEqual(tunnelOf(state), tunnel);
      assert.deepEqual(local(state), proxy);
      assert.deepEqual(reasons(state), []);
    });
  }
});

void describe('a pod is no proxy of a gateway', () => {
  const label = { labels: named('g'), annotations: netns };
  const cases: readonly [string, readonly string[]][] = [
    ['where there is no such Gateway', [pod('g-1', label)]],
    [
      'where it is of another namespace',
      [waypoint('g', { gatewayClassName: 'istio', space: 'bank' }), pod('g-1', label)],
    ],
    ['where it is of somebody else’s class', [waypoint('g', { gatewayClassName: 'nginx' }), pod('g-1', label)]],
    [
      'where the class of our name is somebody else’s',
      [
        door,
        resource('gateway.networking.k8s.io/v1', 'GatewayClass', 'istio', null, {
          controllerName: 'example.com/other',
        }),
        pod('g-1', label),
      ],
    ],
    [
      'because an Istio Gateway selects it',
      [
        pod('g-1', { labels: { istio: 'ingressgateway' }, annotations: netns }),
        resource('networking.istio.io/v1', 'Gateway', 'g', 'bank', {
          selector: { istio: 'ingressgateway' },
          servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
        }),
      ],
    ],
    [
      'where its own label says to be outside',
      [door, pod('g-1', { ...label, labels: { ...named('g'), 'istio.io/dataplane-mode': 'none' } })],
    ],
    ['with a sidecar of another mesh', [pod('g-1', { annotations: { ...template, 'sidecar.istio.io/status': '{}' } })]],
  ];
  for (const [name, documents] of cases) {
    test(name, () => {
      const state = derive(...documents);
      assert.equal(tunnelOf(state), null);
      assert.deepEqual(local(state), outside);
    });
  }

  test('but of a waypoint where its Gateway is one', () => {
    const state = derive(waypoint('g'), pod('g-1', { labels: named('g'), annotations: template }));
    assert.deepEqual(tunnelOf(state), { protocol: 'proxy', port: 15088 });
    assert.deepEqual(local(state), { wanted: true, handover: true, bypassInbound: false });
  });
});

void describe('a denial that L4 cannot see', () => {
  const denial = authorizationPolicy('no-get', 'shop', {
    action: 'DENY',
    rules: [{ to: [{ operation: { methods: ['GET'] } }] }],
  });
  const policiesOf = (annotations: Readonly<Record<string, string>>): readonly string[] =>
    workload(derive(denial, pod('g-1', { annotations })), 'g-1').authorizationPolicies;

  test('is for the proxy of a gateway to look at, and closes any other pod', () => {
    assert.deepEqual(policiesOf(template), []);
    assert.deepEqual(policiesOf(netns), ['shop/ambit_unenforceable_no-get']);
  });
});

void describe('inbound capture', () => {
  const bypass = { ...netns, 'ambient.istio.io/bypass-inbound-capture': 'true' };

  test('is bypassed where a pod asks for it', () => {
    assert.equal(local(derive(pod('g-1', { annotations: bypass })))?.bypassInbound, true);
  });

  test('is not for another word', () => {
    const annotations = { ...bypass, 'ambient.istio.io/bypass-inbound-capture': 'yes' };
    assert.equal(local(derive(pod('g-1', { annotations })))?.bypassInbound, false);
  });

  test('is never at a waypoint, which has nothing that would take what comes', () => {
    const state = derive(waypoint('g'), pod('g-1', { labels: named('g'), annotations: bypass }));
    assert.deepEqual(local(state), { wanted: true, handover: true, bypassInbound: false });
  });
});

void describe('a Gateway of somebody else', () => {
  const classOf = (controllerName: string): string =>
    resource('gateway.networking.k8s.io/v1', 'GatewayClass', 'other', null, { controllerName });
  const gateway = waypoint('g', { gatewayClassName: 'other' });

  test('is not spoken of', () => {
    assert.deepEqual(reasons(derive(gateway, classOf('example.com/other'))), []);
  });

  test('is where it is one between networks', () => {
    assert.deepEqual(reasons(derive(gateway, classOf('istio.io/eastwest-controller'))), [
      'Gateway shop/g: Accepted/UnsupportedClass',
    ]);
  });
});
