import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MeshState, WaypointReference } from '../../../src/model/workload.ts';
import {
  authorizationPolicy,
  derive,
  meshSettings,
  namespace,
  pod,
  reasons,
  resource,
  serviceEntry,
  waypoint,
  workload,
  workloadEntry,
} from './support.ts';

const use = (name: string, space?: string) => ({
  'istio.io/use-waypoint': name,
  ...(space === undefined ? {} : { 'istio.io/use-waypoint-namespace': space }),
});

function web(
  labels: Readonly<Record<string, string>> = {},
  annotations: Readonly<Record<string, string>> = {},
): string {
  const spec = { clusterIP: '10.96.0.1', selector: { app: 'web' }, ports: [{ port: 80 }] };
  return resource('v1', 'Service', 'web', 'shop', spec, { labels, annotations });
}

/** A ready pod of the Gateway, in its namespace. */
function waypointPod(gateway: string, options: Parameters<typeof pod>[1] = {}): string {
  const { labels = {}, ...rest } = options;
  const own = { 'gateway.networking.k8s.io/gateway-name': gateway, ...labels };
  return pod(`${gateway}-1`, { labels: own, annotations: { 'ambit.dev/netns': 'w' }, status: at(9), ...rest });
}

const at = (last: number) => ({ podIPs: [{ ip: `10.0.0.${last}` }] });
const forAll = { labels: { 'istio.io/waypoint-for': 'all' } };
const forWorkloads = { labels: { 'istio.io/waypoint-for': 'workload' } };

const place = (name: string, space = 'shop') =>
  ({ kind: 'hostname', namespace: space, hostname: `${name}.${space}.svc.cluster.local`, port: 15008 }) as const;
const reference = (name: string, space = 'shop'): WaypointReference => ({
  ...place(name, space),
  required: false,
  whenUnready: 'refuse',
});

function ofWeb(state: MeshState): WaypointReference | null {
  const found = state.services.get('shop/web.shop.svc.cluster.local');
  assert.ok(found !== undefined);
  return found.waypoint;
}

const ready = [waypoint('w'), waypointPod('w')];

void describe('the waypoint of a service', () => {
  const cases: readonly [string, readonly string[], WaypointReference | null][] = [
    ['is that of its label', [web(use('w')), ...ready], reference('w')],
    ['is that of its namespace', [namespace('shop', use('w')), web(), ...ready], reference('w')],
    [
      'is its own before that of its namespace',
      [namespace('shop', use('other')), web(use('w')), ...ready],
      reference('w'),
    ],
    ['is none where its label says so', [namespace('shop', use('w')), web(use('none')), ...ready], null],
    ['is none without a label', [web(), ...ready], null],
    [
      'may be in another namespace',
      [web(use('w', 'infra')), waypoint('w', { space: 'infra', namespaces: { from: 'All' } })],
      reference('w', 'infra'),
    ],
    ['is none of those for workloads', [web(use('w')), waypoint('w', forWorkloads)], null],
    ['is one for all', [web(use('w')), waypoint('w', forAll)], reference('w')],
    [
      'may be required',
      [web(use('w'), { 'ambit.dev/waypoint-required': 'true' }), ...ready],
      { ...reference('w'), required: true },
    ],
    [
      'may be gone past while it is not ready',
      [web(use('w')), waypoint('w', { annotations: { 'ambit.dev/waypoint-unready': 'direct' } })],
      { ...reference('w'), whenUnready: 'direct' },
    ],
  ];
  for (const [what, documents, expected] of cases) {
    test(what, () => {
      assert.deepEqual(ofWeb(derive(...documents)), expected);
    });
  }

  test('of a ServiceEntry is that of its label', () => {
    const entry = { hosts: ['db.example.com'], addresses: ['10.97.0.1'], resolution: 'STATIC' };
    const state = derive(serviceEntry('db', entry, { labels: use('w') }), ...ready);
    assert.deepEqual(state.services.get('shop/db.example.com')?.waypoint, reference('w'));
  });

  test('is never had by the Service of a waypoint', () => {
    const own = resource('v1', 'Service', 'w', 'shop', { clusterIP: '10.96.0.9', ports: [{ port: 15008 }] });
    const state = derive(namespace('shop', use('v')), waypoint('v'), waypoint('w'), own);
    assert.equal(state.services.get('shop/w.shop.svc.cluster.local')?.waypoint, null);
  });

  test('is where the status of its Gateway says', () => {
    const byAddress = waypoint('w', { addresses: [{ type: 'IPAddress', value: '10.96.0.9' }] });
    const byName = waypoint('w', { addresses: [{ type: 'Hostname', value: 'W.example.com' }] });
    const { required, whenUnready } = reference('w');
    assert.deepEqual(ofWeb(derive(web(use('w')), byAddress, meshSettings({ network: 'n' }))), {
      ...{ kind: 'address', network: 'n', address: '10.96.0.9', port: 15008 },
      required,
      whenUnready,
    });
    assert.deepEqual(ofWeb(derive(web(use('w')), byName)), { ...reference('w'), hostname: 'w.example.com' });
  });
});

void describe('a waypoint that cannot be had', () => {
  const cases: readonly [string, readonly string[], string][] = [
    ['is not there', [web(use('w'))], 'WaypointIsNotReady'],
    [
      'is a Gateway of another class',
      [web(use('w')), waypoint('w', { gatewayClassName: 'istio' })],
      'WaypointIsNotReady',
    ],
    ['is that of another namespace', [web(use('w', 'infra')), waypoint('w', { space: 'infra' })], 'AttachmentDenied'],
    [
      'lets other namespaces in',
      [
        web(use('w', 'infra')),
        namespace('shop', { team: 'a' }),
        waypoint('w', { space: 'infra', namespaces: { from: 'Selector', selector: { matchLabels: { team: 'b' } } } }),
      ],
      'AttachmentDenied',
    ],
  ];
  for (const [what, documents, reason] of cases) {
    test(`because it ${what} closes the service`, () => {
      const state = derive(...documents);
      const found = ofWeb(state);
      assert.equal(found?.kind, 'hostname');
      assert.match(found.hostname, /\.waypoint\.invalid$/);
      assert.deepEqual([found.required, found.whenUnready], [false, 'refuse']);
      assert.ok(reasons(state).includes(`Service shop/web: istio.io/WaypointBound/${reason}`));
    });
  }

  test('closes the pod whose own label names it', () => {
    const state = derive(pod('a', { labels: use('w') }));
    assert.equal(workload(state).waypoint?.required, true);
    assert.deepEqual(reasons(state), ['Pod shop/a: istio.io/WaypointBound/WaypointIsNotReady']);
  });

  test('says nothing of the pods of a namespace that names it', () => {
    assert.equal(workload(derive(namespace('shop', use('w')), pod('a'))).waypoint, null);
  });
});

void describe('namespaces that a waypoint lets in', () => {
  const shared = (namespaces: unknown) => waypoint('w', { space: 'infra', namespaces });
  const selector = { matchExpressions: [{ key: 'team', operator: 'In', values: ['a'] }] };

  for (const [what, namespaces] of [
    ['are those that a selector names by their labels', { from: 'Selector', selector }],
    [
      'are those that a selector names by their names',
      { from: 'Selector', selector: { matchLabels: { 'kubernetes.io/metadata.name': 'shop' } } },
    ],
    ['are all', { from: 'All' }],
  ] as const) {
    test(what, () => {
      const state = derive(web(use('w', 'infra')), namespace('shop', { team: 'a' }), shared(namespaces));
      assert.deepEqual(ofWeb(state), reference('w', 'infra'));
    });
  }

  test('are its own alone where a word is not known', () => {
    const state = derive(web(use('w', 'infra')), shared({ from: 'Tomorrow' }));
    assert.ok(reasons(state).includes('Service shop/web: istio.io/WaypointBound/AttachmentDenied'));
  });
});

void describe('the waypoint of a workload', () => {
  test('is none of those for services', () => {
    const state = derive(namespace('shop', use('w')), pod('a'), ...ready);
    assert.equal(workload(state).waypoint, null);
  });

  for (const [what, options] of [
    ['for workloads', forWorkloads],
    ['for all', forAll],
  ] as const) {
    test(`is one ${what}, and required`, () => {
      const state = derive(namespace('shop', use('w')), pod('a'), waypoint('w', options), waypointPod('w'));
      assert.deepEqual(workload(state).waypoint, { ...reference('w'), required: true });
      assert.deepEqual(reasons(state), []);
    });
  }

  test('of a service that lets its pods be reached through it alone is told of them, and of no others', () => {
    const annotations = { 'ambit.dev/waypoint-required': 'true' };
    const served = (...more: string[]) => workload(derive(pod('a', { labels: { app: 'web' } }), ...ready, ...more));
    assert.equal(served(web(use('w'), annotations)).guardedByService, true);
    assert.equal(served(web(use('w'))).guardedByService, false);
    const elsewhere = pod('a', { labels: { app: 'other' } });
    assert.equal(workload(derive(elsewhere, ...ready, web(use('w'), annotations))).guardedByService, false);
  });

  test('need not be required', () => {
    const lax = waypoint('w', { ...forAll, annotations: { 'ambit.dev/waypoint-required': 'false' } });
    assert.deepEqual(workload(derive(pod('a', { labels: use('w') }), lax)).waypoint, reference('w'));
  });

  test('is that of the class where its Gateway says nothing', () => {
    const gatewayClass = resource(
      'gateway.networking.k8s.io/v1',
      'GatewayClass',
      'own',
      null,
      { controllerName: 'istio.io/mesh-controller' },
      { labels: { 'istio.io/waypoint-for': 'workload' } },
    );
    const gateway = waypoint('w', { gatewayClassName: 'own' });
    const state = derive(pod('a', { labels: use('w') }), gatewayClass, gateway, waypointPod('w'));
    assert.equal(workload(state).waypoint?.required, true);
  });

  test('is told where the pod’s own label names one for services', () => {
    const state = derive(pod('a', { labels: use('w') }), ...ready);
    assert.equal(workload(state).waypoint, null);
    assert.deepEqual(reasons(state), ['Pod shop/a: istio.io/WaypointBound/UnsupportedTrafficType']);
  });

  test('is had by a WorkloadEntry', () => {
    const state = derive(
      workloadEntry('vm', { address: '10.0.0.7' }, { labels: use('w') }),
      waypoint('w', forAll),
      waypointPod('w'),
    );
    const found = state.workloads.get('Kubernetes/networking.istio.io/WorkloadEntry/shop/vm');
    assert.deepEqual(found?.waypoint, { ...reference('w'), required: true });
  });

  test('is never had by the pod of a waypoint', () => {
    const state = derive(namespace('shop', use('v')), waypoint('v', forAll), ...ready);
    assert.equal(workload(state, 'w-1').waypoint, null);
  });
});

void describe('the pod of a waypoint', () => {
  test('is of the mesh and takes what is handed over', () => {
    const state = derive(...ready);
    const found = workload(state, 'w-1');
    assert.deepEqual([found.protocol, found.applicationTunnel], ['hbone', { protocol: 'proxy', port: 15088 }]);
    const [local] = state.localPods.values();
    assert.deepEqual([local?.wanted, local?.handover], [true, true]);
  });

  test('stays outside where it says so', () => {
    const state = derive(waypoint('w'), waypointPod('w', { labels: { 'istio.io/dataplane-mode': 'none' } }));
    const found = workload(state, 'w-1');
    assert.deepEqual([found.protocol, found.applicationTunnel], ['tcp', null]);
    const [local] = state.localPods.values();
    assert.deepEqual([local?.wanted, local?.handover], [false, false]);
  });

  test('of a Gateway that is no waypoint is any pod', () => {
    const state = derive(waypoint('w', { gatewayClassName: 'nginx' }), waypointPod('w'));
    assert.equal(workload(state, 'w-1').applicationTunnel, null);
  });

  test('is found by a service of the waypoint’s name where there is no Service', () => {
    const state = derive(...ready);
    assert.ok(workload(state, 'w-1').services.has('shop/w.shop.svc.cluster.local'));
    assert.deepEqual(state.services.get('shop/w.shop.svc.cluster.local')?.vips, []);
  });

  test('is found by the Service of the waypoint’s name', () => {
    const spec = { clusterIP: '10.96.0.9', selector: { app: 'envoy' }, ports: [{ port: 15008 }] };
    const state = derive(
      waypoint('w'),
      waypointPod('w', { labels: { app: 'envoy' } }),
      resource('v1', 'Service', 'w', 'shop', spec),
    );
    assert.deepEqual(state.services.get('shop/w.shop.svc.cluster.local')?.vips, ['10.96.0.9']);
    assert.ok(workload(state, 'w-1').services.has('shop/w.shop.svc.cluster.local'));
    assert.deepEqual(reasons(state), []);
  });
});

void describe('a waypoint that is there', () => {
  test('and has no ready pod is told', () => {
    const unready = { ...at(9), conditions: [{ type: 'Ready', status: 'False' }] };
    const state = derive(web(use('w')), waypoint('w'), waypointPod('w', { status: unready }));
    assert.deepEqual(reasons(state), ['Service shop/web: istio.io/WaypointBound/WaypointIsNotReady']);
    assert.deepEqual(ofWeb(state), reference('w'));
  });

  test('and whose status has an address counts as ready', () => {
    const state = derive(web(use('w')), waypoint('w', { addresses: [{ value: '10.96.0.9' }] }));
    assert.deepEqual(reasons(state), []);
  });

  for (const [name, value] of [
    ['ambit.dev/waypoint-unready', 'perhaps'],
    ['ambit.dev/waypoint-required', 'yes'],
    ['ambient.istio.io/waypoint-inbound-binding', 'PROXY/9999'],
  ] as const) {
    test(`with an annotation ${name} that means nothing says so`, () => {
      assert.deepEqual(reasons(derive(waypoint('w', { annotations: { [name]: value } }))), [
        'Gateway shop/w: Accepted/ValueNotHonoured',
      ]);
    });
  }

  test('for traffic of an unknown type is for services', () => {
    const state = derive(web(use('w')), waypoint('w', { labels: { 'istio.io/waypoint-for': 'x' } }), waypointPod('w'));
    assert.deepEqual(ofWeb(state), reference('w'));
    assert.deepEqual(reasons(state), ['Gateway shop/w: Accepted/ValueNotHonoured']);
  });

  test('is told where its class is nobody’s', () => {
    assert.deepEqual(reasons(derive(waypoint('w', { gatewayClassName: 'own' }))), [
      'Gateway shop/w: Accepted/UnsupportedClass',
    ]);
  });
});

void describe('a denial that L4 cannot see', () => {
  const denial = authorizationPolicy('no-get', 'shop', {
    action: 'DENY',
    rules: [{ to: [{ operation: { methods: ['GET'] } }] }],
  });
  const key = 'shop/ambit_unenforceable_no-get';

  test('denies everything where no waypoint takes it over', () => {
    const state = derive(denial, pod('a'));
    assert.deepEqual(workload(state).authorizationPolicies, [key]);
    assert.deepEqual(state.policies.get(key)?.rules, [{ clauses: [] }]);
  });

  test('is left to the waypoint that everything comes through', () => {
    const state = derive(denial, namespace('shop', use('w')), pod('a'), waypoint('w', forAll), waypointPod('w'));
    assert.deepEqual(workload(state).authorizationPolicies, []);
  });

  test('denies everything where the waypoint can be gone past', () => {
    const lax = waypoint('w', { ...forAll, annotations: { 'ambit.dev/waypoint-required': 'false' } });
    const state = derive(denial, namespace('shop', use('w')), pod('a'), lax, waypointPod('w'));
    assert.deepEqual(workload(state).authorizationPolicies, [key]);
  });

  test('denies everything where the waypoint is gone past while it is not ready', () => {
    const lax = waypoint('w', { ...forAll, annotations: { 'ambit.dev/waypoint-unready': 'direct' } });
    const state = derive(denial, namespace('shop', use('w')), pod('a'), lax, waypointPod('w'));
    assert.deepEqual(workload(state).authorizationPolicies, [key]);
  });

  test('leaves the rest of its policy as it is', () => {
    const rules = [{ to: [{ operation: { methods: ['GET'] } }] }, { from: [{ source: { namespaces: ['other'] } }] }];
    const state = derive(authorizationPolicy('p', 'shop', { action: 'DENY', rules }), pod('a'));
    assert.equal(state.policies.get('shop/p')?.rules.length, 1);
    assert.equal(state.policies.get('shop/p')?.scope, 'namespace');
    assert.ok(state.policies.has('shop/ambit_unenforceable_p'));
  });

  test('of the root namespace denies everywhere', () => {
    const wide = authorizationPolicy('wide', 'istio-system', {
      action: 'DENY',
      rules: [{ to: [{ operation: { paths: ['/admin'] } }] }],
    });
    const state = derive(wide, pod('a'), pod('b', { namespace: 'other', status: at(2) }));
    for (const found of state.workloads.values()) {
      assert.deepEqual(found.authorizationPolicies, ['istio-system/ambit_unenforceable_wide']);
    }
    assert.equal(state.workloads.size, 2);
  });
});
