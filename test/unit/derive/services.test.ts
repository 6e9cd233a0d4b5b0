import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derive, meshSettings, pod, reasons, resource, service, workload } from './support.ts';

void describe('a service', () => {
  const web = {
    selector: { app: 'web' },
    clusterIP: '10.96.0.1',
    ports: [{ port: 80, targetPort: 8080 }, { port: 443 }],
  };
  const key = 'shop/web.shop.svc.cluster.local';
  const webPod = pod('a', {
    labels: { app: 'web' },
    spec: {
      containers: [
        {
          name: 'c',
          ports: [
            { name: 'http', containerPort: 8081 },
            { name: 'dns', containerPort: 53, protocol: 'UDP' },
          ],
        },
      ],
    },
  });

  test('has a host name, addresses and ports', () => {
    const found = derive(service('web', { ...web, clusterIPs: ['10.96.0.1', 'FD00::2'] })).services.get(key);
    assert.deepEqual(found?.vips, ['10.96.0.1', 'fd00::2']);
    assert.deepEqual(
      [...found.ports],
      [
        [80, 8080],
        [443, 443],
      ],
    );
    assert.deepEqual(found.loadBalancing, { mode: 'standard', scopes: [], healthPolicy: 'only-healthy' });
  });

  test('has the pods that its selector names, in its own namespace', () => {
    const state = derive(
      service('web', web),
      webPod,
      pod('b'),
      pod('c', { namespace: 'other', labels: { app: 'web' } }),
    );
    assert.deepEqual(
      [...(workload(state).services.get(key) ?? [])],
      [
        [80, 8080],
        [443, 443],
      ],
    );
    assert.equal(workload(state, 'b').services.size, 0);
    assert.equal(workload(state, 'c', 'other').services.size, 0);
  });

  for (const selector of [null, {}]) {
    test(`with selector ${JSON.stringify(selector)} has no pods`, () => {
      assert.equal(workload(derive(service('web', { ...web, selector }), webPod)).services.size, 0);
    });
  }

  test('resolves a named port in each pod, and drops it where the pod has none', () => {
    const state = derive(
      service('web', {
        ...web,
        ports: [
          { port: 80, targetPort: 'http' },
          { port: 53, targetPort: 'dns' },
        ],
      }),
      webPod,
    );
    assert.deepEqual(
      [...(state.services.get(key)?.ports ?? [])],
      [
        [80, 0],
        [53, 0],
      ],
    );
    assert.deepEqual([...(workload(state).services.get(key) ?? [])], [[80, 8081]]);
  });

  test('has no UDP ports here', () => {
    const state = derive(service('web', { ...web, ports: [{ port: 53, protocol: 'UDP' }, { port: 80 }] }));
    assert.deepEqual([...(state.services.get(key)?.ports.keys() ?? [])], [80]);
  });

  test('that is headless has no address and its pods all the same', () => {
    const state = derive(service('web', { ...web, clusterIP: 'None' }), webPod);
    assert.deepEqual(state.services.get(key)?.vips, []);
    assert.equal(workload(state).services.size, 1);
    assert.deepEqual(state.conditions, []);
  });

  test('without any address says so', () => {
    assert.deepEqual(reasons(derive(service('web', { ...web, clusterIP: '' }))), [
      'Service shop/web: Accepted/NoClusterIP',
    ]);
  });

  for (const [ports, expected] of [
    [[{ port: 80, appProtocol: 'kubernetes.io/h2c' }], { 80: 'http2' }],
    [
      [
        { port: 80, name: 'grpc-web' },
        { port: 81, name: 'grpc-x' },
        { port: 82, name: 'GRPC' },
      ],
      { 81: 'grpc', 82: 'grpc' },
    ],
    [
      [
        { port: 443, name: 'https' },
        { port: 80, name: 'http-x' },
      ],
      { 443: 'tls', 80: 'http1' },
    ],
    [[{ port: 80, name: 'http', appProtocol: 'tcp' }], { 80: 'tcp' }],
    [[{ port: 80, name: 'http', appProtocol: 'example.com/x' }, { port: 81, name: 'web' }, { port: 82 }], {}],
  ] as const) {
    test(`with ports ${JSON.stringify(ports)} says what is spoken there`, () => {
      const found = derive(service('web', { ...web, ports })).services.get(key);
      assert.deepEqual(Object.fromEntries(found?.appProtocols ?? []), expected);
    });
  }

  for (const [ipFamilies, expected] of [
    [[], 'automatic'],
    [['IPv4'], 'ipv4'],
    [['IPv6'], 'ipv6'],
    [['IPv6', 'IPv4'], 'dual'],
  ] as const) {
    test(`with families ${JSON.stringify(ipFamilies)} is ${expected}`, () => {
      assert.equal(derive(service('web', { ...web, ipFamilies })).services.get(key)?.ipFamilies, expected);
    });
  }

  for (const [exportTo, visibility, reason] of [
    ['*', 'public', null],
    ['.', 'namespace', null],
    [' . , shop', 'namespace', null],
    ['.,other', 'public', 'ExportToNamespaces'],
    ['other,*', 'public', null],
  ] as const) {
    test(`exported to ${JSON.stringify(exportTo)} is ${visibility}`, () => {
      const annotations = { 'networking.istio.io/exportTo': exportTo };
      const state = derive(resource('v1', 'Service', 'web', 'shop', web, { annotations }));
      assert.equal(state.services.get(key)?.visibility, visibility);
      assert.deepEqual(reasons(state), reason === null ? [] : [`Service shop/web: Accepted/${reason}`]);
    });
  }

  test('exported to nobody is none', () => {
    const annotations = { 'networking.istio.io/exportTo': '~' };
    const state = derive(resource('v1', 'Service', 'web', 'shop', web, { annotations }), webPod);
    assert.equal(state.services.size + workload(state).services.size, 0);
  });

  test('is spread by annotation too, where its own field says nothing', () => {
    const annotations = { 'networking.istio.io/traffic-distribution': 'PreferSameNode' };
    const of = (spec: object) =>
      derive(resource('v1', 'Service', 'web', 'shop', { ...web, ...spec }, { annotations })).services.get(key);
    assert.equal(of({})?.loadBalancing.scopes.at(-1), 'node');
    assert.equal(of({ trafficDistribution: 'PreferSameZone' })?.loadBalancing.scopes.at(-1), 'zone');
  });

  test('whose ports repeat has the first of them, and says so', () => {
    const state = derive(
      service('web', {
        ...web,
        ports: [
          { port: 80, targetPort: 1 },
          { port: 80, targetPort: 2 },
        ],
      }),
    );
    assert.deepEqual([...(state.services.get(key)?.ports ?? [])], [[80, 1]]);
    assert.deepEqual(reasons(state), ['Service shop/web: Accepted/DuplicatePort']);
  });

  test('whose port name no pod has says so', () => {
    const ports = [{ port: 80, targetPort: 'htpp' }];
    assert.deepEqual(reasons(derive(service('web', { ...web, ports }), webPod)), [
      'Service shop/web: Accepted/UnknownPortName',
    ]);
    assert.deepEqual(reasons(derive(service('web', { ...web, ports }))), [], 'without pods nobody can tell');
  });

  for (const [spec, reason] of [
    [{ sessionAffinity: 'ClientIP' }, 'SessionAffinity'],
    [{ externalIPs: ['192.0.2.1'] }, 'ExternalIPs'],
    [{ trafficDistribution: 'PreferMe' }, 'UnknownTrafficDistribution'],
  ] as const) {
    test(`with ${JSON.stringify(spec)} says that it is not honoured`, () => {
      assert.deepEqual(reasons(derive(service('web', { ...web, ...spec }))), [`Service shop/web: Accepted/${reason}`]);
    });
  }

  test('that is an ExternalName is none', () => {
    assert.equal(derive(service('web', { type: 'ExternalName', externalName: 'example.com' })).services.size, 0);
  });

  test('lies in the cluster domain of the settings', () => {
    assert.ok(
      derive(meshSettings({ clusterDomain: 'corp' }), service('web', web)).services.has('shop/web.shop.svc.corp'),
    );
  });

  for (const [spec, mode, scopes] of [
    [{ internalTrafficPolicy: 'Local' }, 'strict', ['node']],
    [{ trafficDistribution: 'PreferClose' }, 'failover', ['network', 'region', 'zone']],
    [{ trafficDistribution: 'PreferSameZone' }, 'failover', ['network', 'region', 'zone']],
    [{ trafficDistribution: 'PreferSameNode' }, 'failover', ['network', 'region', 'zone', 'subzone', 'node']],
    [{ internalTrafficPolicy: 'Cluster' }, 'standard', []],
  ] as const) {
    test(`with ${JSON.stringify(spec)} balances by ${mode}`, () => {
      const { loadBalancing } = derive(service('web', { ...web, ...spec })).services.get(key) ?? {};
      assert.deepEqual([loadBalancing?.mode, loadBalancing?.scopes], [mode, scopes]);
    });
  }

  test('may take pods that are not ready', () => {
    const state = derive(service('web', { ...web, publishNotReadyAddresses: true }));
    assert.equal(state.services.get(key)?.loadBalancing.healthPolicy, 'allow-all');
  });
});
