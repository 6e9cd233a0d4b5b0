import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derive, meshSettings, namespace, pod, reasons, resource, service, workload } from './support.ts';

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
