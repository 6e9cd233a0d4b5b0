import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MeshState } from '../../../src/model/workload.ts';
import { authorizationPolicy, derive, meshSettings, pod, reasons, resource, service, serviceEntry } from './support.ts';

const db = {
  hosts: ['db.example.com'],
  addresses: ['10.97.0.1'],
  resolution: 'STATIC',
  ports: [{ number: 80, name: 'tcp', protocol: 'TCP' }],
  endpoints: [{ address: '192.0.2.1' }],
};
const key = 'shop/db.example.com';
const endpoint = 'Kubernetes/networking.istio.io/ServiceEntry/shop/db/192.0.2.1';

function found(state: MeshState, of = key) {
  const service = state.services.get(of);
  assert.ok(service !== undefined, of);
  return service;
}

void describe('a ServiceEntry', () => {
  test('is a service for each of its hosts, spelt alike', () => {
    const state = derive(serviceEntry('db', { ...db, hosts: ['DB.example.com', 'b.example.com', 'db.example.com'] }));
    assert.deepEqual([...state.services.keys()], [key, 'shop/b.example.com']);
    const { name, namespace, hostname, vips, canonical, visibility, loadBalancing } = found(state);
    assert.deepEqual([name, namespace, hostname, vips], ['db', 'shop', 'db.example.com', ['10.97.0.1']]);
    assert.deepEqual([canonical, visibility, loadBalancing.mode], [true, 'public', 'standard']);
    assert.deepEqual(reasons(state), []);
  });

  test('has ports with targets and what is spoken there, but none of UDP', () => {
    const ports = [
      { number: 80, name: 'http', protocol: 'HTTP', targetPort: 8080 },
      { number: 443, name: 'https', protocol: 'https' },
      { number: 53, name: 'dns', protocol: 'UDP' },
      { number: 90, name: 'x', protocol: 'SMTP' },
      { number: 80, name: 'again', protocol: 'TCP' },
      { number: 91, name: 'y', protocol: 'MONGO' },
    ];
    const state = derive(serviceEntry('db', { ...db, ports }));
    assert.deepEqual(Object.fromEntries(found(state).ports), { 80: 8080, 443: 443, 90: 90, 91: 91 });
    assert.deepEqual(Object.fromEntries(found(state).appProtocols), { 80: 'http1', 443: 'tls' });
    assert.deepEqual(
      state.conditions.map(({ reason, message }) => `${reason} ${/port \d+/.exec(message)?.[0] ?? ''}`),
      ['PortNotHonoured port 53', 'PortNotHonoured port 90', 'PortNotHonoured port 80'],
    );
  });

  test('has workloads of its endpoints, with the ports that they name', () => {
    const endpoints = [
      {
        address: '192.0.2.1',
        ports: { tcp: 8081 },
        labels: { app: 'db', 'networking.istio.io/tunnel': 'http' },
        locality: 'eu/a',
        weight: 5,
        serviceAccount: 'db',
      },
      { address: 'fd00::2' },
    ];
    const policy = authorizationPolicy('p', 'shop', { selector: { matchLabels: { app: 'db' } } });
    const state = derive(policy, serviceEntry('db', { ...db, endpoints }));
    const first = state.workloads.get(endpoint);
    assert.deepEqual(first?.services, new Map([[key, new Map([[80, 8081]])]]));
    assert.deepEqual(
      [
        first.protocol,
        first.nativeTunnel,
        first.locality.zone,
        first.capacity,
        first.serviceAccount,
        first.canonicalName,
      ],
      ['hbone', true, 'a', 5, 'db', 'db'],
    );
    assert.deepEqual(first.authorizationPolicies, ['shop/p']);
    const second = state.workloads.get(endpoint.replace('192.0.2.1', 'fd00::2'));
    assert.deepEqual(second?.services, new Map([[key, new Map([[80, 80]])]]));
    assert.equal(second.protocol, 'tcp');
  });

  test('leaves out endpoints that cannot be reached or stand there twice, and says which', () => {
    const endpoints = [
      { address: 'a.example.com' },
      { address: '192.0.2.1' },
      { address: '127.0.0.1' },
      { address: '192.0.2.1' },
    ];
    const state = derive(serviceEntry('db', { ...db, endpoints }));
    assert.deepEqual([...state.workloads.keys()], [endpoint]);
    assert.deepEqual(
      state.conditions.map(({ reason, message }) => `${reason} ${message.split(' ')[0] ?? ''}`),
      ['NotResolved spec.endpoints[0]', 'ForbiddenAddress spec.endpoints[2]', 'DuplicateEndpoint spec.endpoints[3]'],
    );
  });

  test('finds the named ports of the pods that it selects', () => {
    const selected = pod('a', {
      labels: { app: 'db' },
      spec: { containers: [{ name: 'c', ports: [{ name: 'tcp', containerPort: 5432 }] }] },
    });
    const ports = [
      { number: 80, name: 'tcp', protocol: 'TCP', targetPort: 1 },
      { number: 81, name: 'other', protocol: 'TCP', targetPort: 8181 },
      { number: 82, name: 'third', protocol: 'TCP' },
    ];
    const entry = serviceEntry('db', { ...db, endpoints: [], ports, workloadSelector: { labels: { app: 'db' } } });
    const state = derive(
      entry,
      selected,
      pod('b', { namespace: 'other', labels: { app: 'db' }, status: { podIPs: [{ ip: '10.0.0.2' }] } }),
    );
    const services = state.workloads.get('Kubernetes//Pod/shop/a')?.services;
    assert.deepEqual(
      services,
      new Map([
        [
          key,
          new Map([
            [80, 5432],
            [81, 8181],
            [82, 82],
          ]),
        ],
      ]),
    );
    assert.equal(state.workloads.get('Kubernetes//Pod/other/b')?.services.size, 0);
  });

  test('without resolution passes connections through', () => {
    const state = derive(serviceEntry('db', { hosts: ['db.example.com'], addresses: ['192.0.2.1'], ports: db.ports }));
    assert.deepEqual(found(state).loadBalancing, { mode: 'passthrough', scopes: [], healthPolicy: 'allow-all' });
    assert.deepEqual(reasons(state), []);
  });

  test('carries the names that its endpoints prove themselves by', () => {
    const subjectAltNames = ['spiffe://other/ns/x/sa/y'];
    assert.deepEqual(found(derive(serviceEntry('db', { ...db, subjectAltNames }))).subjectAltNames, subjectAltNames);
  });

  test('has the addresses that a control plane chose for the host, where it has none of its own', () => {
    const written = JSON.parse(
      serviceEntry('db', { ...db, addresses: [], hosts: ['db.example.com', 'b.example.com'] }),
    ) as object;
    const status = {
      addresses: [
        { value: '240.240.0.1', host: 'db.example.com' },
        { value: '240.240.0.2', host: 'b.example.com' },
      ],
    };
    const state = derive(JSON.stringify({ ...written, status }));
    assert.deepEqual(found(state).vips, ['240.240.0.1']);
    assert.deepEqual(found(state, 'shop/b.example.com').vips, ['240.240.0.2']);
    assert.deepEqual(reasons(state), []);
  });

  test('may have an address of the reserved range that Istio assigns to hosts', () => {
    const state = derive(serviceEntry('db', { ...db, addresses: ['240.240.0.7'] }));
    assert.deepEqual(found(state).vips, ['240.240.0.7']);
    assert.deepEqual(reasons(state), []);
  });

  const conditional: readonly [string, object, readonly string[]][] = [
    ['a block of addresses', { addresses: ['10.97.0.1', '10.98.0.0/16'] }, ['AddressNotHonoured']],
    ['a loopback address', { addresses: ['127.0.0.1', '10.97.0.1'] }, ['AddressNotHonoured']],
    ['a multicast address', { addresses: ['224.0.0.1', '10.97.0.1'] }, ['AddressNotHonoured']],
    ['the broadcast address', { addresses: ['255.255.255.255', '10.97.0.1'] }, ['AddressNotHonoured']],
    ['no address', { addresses: [] }, ['NoAddress']],
    ['a wildcard', { hosts: ['*.example.com', 'db.example.com'] }, ['WildcardHost']],
    ['no address and none to be chosen', { addresses: [], resolution: 'NONE', endpoints: [] }, []],
    ['a name where none is looked up', { endpoints: [{ address: 'a.example.com' }] }, ['NotResolved']],
    ['a name that is the client', { resolution: 'DNS', endpoints: [{ address: 'x.localhost' }] }, ['ForbiddenAddress']],
    ['a number for a name', { resolution: 'DNS', endpoints: [{ address: '2130706433' }] }, ['NotResolved']],
    ['what some take for an address', { resolution: 'DNS', endpoints: [{ address: '127.1' }] }, ['NotResolved']],
    ['endpoints that nothing asks for', { resolution: 'NONE' }, ['NotResolved']],
    ['export to some namespaces', { exportTo: ['.', 'x'] }, ['ExportToNamespaces']],
  ];
  for (const [what, spec, expected] of conditional) {
    test(`with ${what} says that it is not honoured`, () => {
      const state = derive(serviceEntry('db', { ...db, ...spec }));
      assert.deepEqual(
        state.conditions.map(({ reason }) => reason),
        expected,
      );
      assert.ok(found(state));
    });
  }

  for (const resolution of ['DNS', 'DNS_ROUND_ROBIN']) {
    test(`with ${resolution} has endpoints that are names, and such that are addresses`, () => {
      const endpoints = [
        { address: 'Far.example.com.', ports: { tcp: 5432 }, weight: 3, locality: 'eu/b' },
        { address: '192.0.2.1' },
      ];
      const state = derive(serviceEntry('db', { ...db, resolution, endpoints }));
      const named = state.workloads.get(endpoint.replace('192.0.2.1', 'far.example.com'));
      assert.deepEqual([named?.hostname, named?.addresses, named?.capacity], ['far.example.com', [], 3]);
      assert.deepEqual([named?.locality.zone, named?.services], ['b', new Map([[key, new Map([[80, 5432]])]])]);
      assert.deepEqual(state.workloads.get(endpoint)?.addresses, ['192.0.2.1']);
      assert.deepEqual(reasons(state), []);
    });

    test(`with ${resolution} and no endpoint has each host for its own`, () => {
      const hosts = ['db.example.com', 'b.example.com'];
      const state = derive(serviceEntry('db', { ...db, hosts, resolution, endpoints: [] }));
      const places = [...state.workloads.values()].map(({ hostname, services }) => [hostname, ...services.keys()]);
      assert.deepEqual(places.sort(), [
        ['b.example.com', 'shop/b.example.com'],
        ['db.example.com', 'shop/db.example.com'],
      ]);
      assert.deepEqual(reasons(state), []);
    });
  }

  test('with DNS is not what a host says of whoever looks it up', () => {
    const state = derive(serviceEntry('db', { ...db, hosts: ['localhost'], resolution: 'DNS', endpoints: [] }));
    assert.deepEqual([state.workloads.size, reasons(state)], [0, ['ServiceEntry shop/db: Accepted/NotResolved']]);
  });

  test('whose hosts are resolved by a waypoint is none', () => {
    const state = derive(serviceEntry('db', { ...db, resolution: 'DYNAMIC_DNS' }));
    assert.equal(state.services.size + state.workloads.size, 0);
    assert.deepEqual(reasons(state), ['ServiceEntry shop/db: Accepted/NotResolved']);
  });

  const circles: readonly [string | null, readonly string[], string | null, string | null][] = [
    // setting, exportTo, visibility (null: no service), reason
    [null, [], 'public', null],
    [null, ['.'], 'namespace', null],
    [null, ['shop'], 'namespace', null],
    [null, ['*'], 'public', null],
    [null, ['~'], null, null],
    ['namespace', [], 'namespace', null],
    ['namespace', ['*'], 'namespace', 'LimitedBySetting'],
    ['namespace', ['.'], 'namespace', null],
    ['none', [], null, 'LimitedBySetting'],
    ['none', ['~'], null, null],
  ];
  for (const [setting, exportTo, visibility, reason] of circles) {
    test(`exported to ${JSON.stringify(exportTo)} where the setting is ${setting ?? 'not set'}: ${visibility ?? 'none'}`, () => {
      const settings = setting === null ? [] : [meshSettings({ serviceEntryVisibility: setting })];
      const state = derive(...settings, serviceEntry('db', { ...db, exportTo }));
      assert.equal(state.services.get(key)?.visibility ?? null, visibility);
      assert.equal(state.workloads.size, visibility === null ? 0 : 1, 'endpoints go with their service');
      assert.deepEqual(reasons(state), reason === null ? [] : [`ServiceEntry shop/db: Accepted/${reason}`]);
    });
  }

  test('is spread as its annotation says', () => {
    const annotations = { 'networking.istio.io/traffic-distribution': 'PreferClose' };
    assert.equal(found(derive(serviceEntry('db', db, { annotations }))).loadBalancing.mode, 'failover');
  });
});

void describe('of several services with one hostname', () => {
  const aged = (name: string, year: number, space = 'shop', spec: object = {}) =>
    serviceEntry(name, { ...db, ...spec }, { creationTimestamp: `${year}-01-01T00:00:00Z` }, space);
  const web = service('web', { clusterIP: '10.96.0.1', ports: [{ port: 80 }] });
  const host = { hosts: ['web.shop.svc.cluster.local'], addresses: ['10.96.0.9'] };

  test('the Service wins over an entry of its namespace, whose endpoints are nobody then', () => {
    const state = derive(web, aged('db', 2000, 'shop', host));
    assert.deepEqual(found(state, 'shop/web.shop.svc.cluster.local').vips, ['10.96.0.1']);
    assert.equal(state.workloads.size, 0);
    assert.deepEqual(reasons(state), ['ServiceEntry shop/db: Accepted/HostnameConflict']);
  });

  test('an entry of another namespace stands beside the Service, which is canonical', () => {
    const state = derive(web, aged('db', 2000, 'other', host));
    assert.equal(found(state, 'shop/web.shop.svc.cluster.local').canonical, true);
    assert.equal(found(state, 'other/web.shop.svc.cluster.local').canonical, false);
    assert.deepEqual(reasons(state), ['ServiceEntry other/db: Accepted/NotItsOwn']);
  });

  test('the oldest entry of a namespace wins', () => {
    const state = derive(aged('a', 2024), aged('b', 2020), aged('c', 2022));
    assert.equal(found(state).name, 'b');
    assert.deepEqual(reasons(state), [
      'ServiceEntry shop/c: Accepted/HostnameConflict',
      'ServiceEntry shop/a: Accepted/HostnameConflict',
    ]);
  });

  test('the oldest that all see is canonical', () => {
    const state = derive(aged('a', 2020, 'x', { exportTo: ['.'] }), aged('b', 2022, 'y'), aged('c', 2024, 'z'));
    const canonical = [...state.services.values()].filter((service) => service.canonical);
    assert.deepEqual(
      canonical.map(({ name }) => name),
      ['b'],
    );
  });

  test('an entry that loses one host keeps its others', () => {
    const state = derive(web, serviceEntry('db', { ...db, hosts: ['web.shop.svc.cluster.local', 'db.example.com'] }));
    assert.deepEqual([...(state.workloads.get(endpoint)?.services.keys() ?? [])], [key]);
  });
});

void describe('an EndpointSlice', () => {
  const web = service('web', { clusterIP: '10.96.0.1', ports: [{ name: 'http', port: 80, targetPort: 9 }] });
  const webKey = 'shop/web.shop.svc.cluster.local';
  const uid = 'Kubernetes/discovery.k8s.io/EndpointSlice/shop/web-1/192.0.2.1';
  interface SliceParts {
    readonly labels?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  }
  const slice = ({ labels = {}, ...parts }: SliceParts = {}) =>
    JSON.stringify({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'web-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web', ...labels } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: ['192.0.2.1'] }],
      ...parts,
    });
  const managedBy = (manager: string) => ({ labels: { 'endpointslice.kubernetes.io/managed-by': manager } });

  test('that was written for a Service without selector has workloads that are not found by their address', () => {
    const found = derive(web, slice()).workloads.get(uid);
    assert.deepEqual(found?.services, new Map([[webKey, new Map([[80, 8080]])]]));
    assert.deepEqual([found.hostNetwork, found.protocol, found.status, found.podUid], [true, 'tcp', 'healthy', null]);
  });

  for (const [conditions, expected] of [
    [{ ready: true }, 'healthy'],
    [{ ready: false }, 'unhealthy'],
    [{ ready: false, serving: true }, 'unhealthy'],
    [{ serving: false }, 'unhealthy'],
    [{ ready: true, terminating: true }, 'unhealthy'],
    [{}, 'healthy'],
  ] as const) {
    test(`with an endpoint that is ${JSON.stringify(conditions)} has it ${expected}`, () => {
      const endpoints = [{ addresses: ['192.0.2.1'], conditions }];
      assert.equal(derive(web, slice({ endpoints })).workloads.get(uid)?.status, expected);
    });
  }

  test('knows where its endpoints are', () => {
    const labels = { 'topology.kubernetes.io/region': 'r', 'topology.kubernetes.io/zone': 'z' };
    const node = JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n', labels } });
    const endpoints = [{ addresses: ['192.0.2.1'], nodeName: 'n', zone: 'other' }];
    const found = derive(node, web, slice({ endpoints })).workloads.get(uid);
    assert.deepEqual([found?.node, found?.locality], ['n', { region: 'r', zone: 'z', subzone: '' }]);
  });

  test('adds its Service to the pods that it names', () => {
    const endpoints = [{ addresses: ['10.0.0.1'], targetRef: { kind: 'Pod', name: 'a', namespace: 'shop' } }];
    const state = derive(web, pod('a'), slice({ endpoints }));
    assert.deepEqual([...state.workloads.keys()], ['Kubernetes//Pod/shop/a']);
    assert.deepEqual(
      state.workloads.get('Kubernetes//Pod/shop/a')?.services,
      new Map([[webKey, new Map([[80, 8080]])]]),
    );
  });

  test('that mirrors hand-written Endpoints counts, one of the controller of selectors does not', () => {
    assert.ok(derive(web, slice(managedBy('endpointslicemirroring-controller.k8s.io'))).workloads.has(uid));
    const managed = derive(web, slice(managedBy('endpointslice-controller.k8s.io')));
    assert.equal(managed.workloads.size, 0);
    assert.deepEqual(reasons(managed), []);
  });

  test('for a Service with a selector has no effect, and says so', () => {
    const selecting = service('web', {
      clusterIP: '10.96.0.1',
      selector: { app: 'a' },
      ports: [{ name: 'http', port: 80 }],
    });
    const state = derive(selecting, slice());
    assert.equal(state.workloads.size, 0);
    assert.deepEqual(reasons(state), ['EndpointSlice shop/web-1: Accepted/ServiceHasSelector']);
  });

  for (const [what, parts, reason] of [
    ['names for addresses', { addressType: 'FQDN' }, 'NotResolved'],
    [
      'a port that its Service does not name',
      {
        ports: [
          { name: 'http', port: 1 },
          { name: 'x', port: 2 },
        ],
      },
      'UnknownPortName',
    ],
    [
      'an address twice',
      { endpoints: [{ addresses: ['192.0.2.1'] }, { addresses: ['192.0.2.1'] }] },
      'DuplicateEndpoint',
    ],
    ['a loopback address', { endpoints: [{ addresses: ['127.0.0.1'] }] }, 'ForbiddenAddress'],
    ['an endpoint without address', { endpoints: [{ addresses: [] }] }, 'NoAddress'],
  ] as const) {
    test(`with ${what} says so`, () => {
      assert.deepEqual(reasons(derive(web, slice(parts))), [`EndpointSlice shop/web-1: Accepted/${reason}`]);
    });
  }

  test('of no Service, or of one that is not there, is nothing', () => {
    assert.equal(derive(slice()).workloads.size, 0);
    assert.equal(derive(web, slice({ labels: { 'kubernetes.io/service-name': '' } })).workloads.size, 0);
  });
});

void describe('an address that several have', () => {
  const ambient = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { 'istio.io/dataplane-mode': 'ambient' } },
  });
  const at = (ip: string) => ({ status: { podIPs: [{ ip }] } });
  const entry = (name: string, address: string) =>
    resource('networking.istio.io/v1', 'WorkloadEntry', name, 'shop', { address });

  test('is told to those that do not get its traffic', () => {
    const state = derive(ambient, pod('a', at('10.0.0.1')), pod('b', at('10.0.0.1')), entry('vm', '10.0.0.1'));
    const conflicts = state.conditions.filter(({ reason }) => reason === 'AddressConflict');
    assert.deepEqual(
      conflicts.map(({ resource: name }) => name),
      ['Pod shop/b', 'WorkloadEntry shop/vm'],
    );
    assert.match(conflicts[0]?.message ?? '', /10\.0\.0\.1 .* Pod shop\/a/);
  });

  test('of a pod is told to a Service that has it too', () => {
    const state = derive(pod('a', at('10.0.0.1')), service('web', { clusterIP: '10.0.0.1', ports: [{ port: 80 }] }));
    assert.deepEqual(reasons(state), ['Service shop/web: Accepted/AddressConflict']);
  });

  test('of two plain endpoints is no conflict, nor is that of pods on the network of their host', () => {
    const onHost = (name: string) => pod(name, { ...at('10.0.0.9'), spec: { hostNetwork: true } });
    assert.deepEqual(reasons(derive(entry('a', '10.0.0.1'), entry('b', '10.0.0.1'), onHost('x'), onHost('y'))), []);
  });

  test('of Services is told to all but the one that counts', () => {
    const of = (name: string) => service(name, { clusterIP: '10.96.0.1', ports: [{ port: 80 }] });
    assert.deepEqual(reasons(derive(of('b'), of('a'), of('c'))), [
      'Service shop/b: Accepted/AddressConflict',
      'Service shop/c: Accepted/AddressConflict',
    ]);
  });

  test('of hosts of one entry is no conflict', () => {
    assert.deepEqual(reasons(derive(serviceEntry('db', { ...db, hosts: ['a.example.com', 'b.example.com'] }))), []);
  });

  const web = service('web', { clusterIP: '10.96.0.1', ports: [{ port: 80 }] });
  const takenBy: readonly [string, string, string][] = [
    ['a WorkloadEntry', entry('vm', '10.96.0.1'), 'WorkloadEntry shop/vm'],
    ['an endpoint', serviceEntry('db', { ...db, endpoints: [{ address: '10.96.0.1' }] }), 'ServiceEntry shop/db'],
    [
      'an address of a ServiceEntry',
      serviceEntry('db', { ...db, addresses: ['10.96.0.1'] }, {}, 'a'),
      'ServiceEntry a/db',
    ],
  ];
  for (const [what, document, name] of takenBy) {
    test(`of a Service is not to be had as ${what}`, () => {
      const state = derive(web, document);
      const owners = [...state.workloads.values()].filter(({ addresses }) => addresses.includes('10.96.0.1'));
      const services = [...state.services.values()].filter(({ vips }) => vips.includes('10.96.0.1'));
      assert.deepEqual([owners.length, services.map(({ hostname }) => hostname)], [0, ['web.shop.svc.cluster.local']]);
      assert.deepEqual(reasons(state), [`${name}: Accepted/ClusterIP`]);
    });
  }

  test('of a Service may be had by an entry for its own hostname, which only its own namespace prefers', () => {
    const spec = { ...db, hosts: ['web.shop.svc.cluster.local'], addresses: ['10.96.0.1'] };
    const state = derive(web, serviceEntry('db', spec, {}, 'a'));
    assert.deepEqual(found(state, 'a/web.shop.svc.cluster.local').vips, ['10.96.0.1']);
    assert.deepEqual(reasons(state), ['ServiceEntry a/db: Accepted/NotItsOwn']);
  });
});
