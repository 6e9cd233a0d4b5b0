import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MeshState, Workload } from '../../../src/model/workload.ts';
import {
  authorizationPolicy,
  derive,
  meshSettings,
  peerAuthentication,
  reasons,
  resource,
  service,
  serviceEntry,
  workloadEntry,
} from './support.ts';

const uid = 'Kubernetes/networking.istio.io/WorkloadEntry/shop/vm';

function entryOf(state: MeshState): Workload {
  const found = state.workloads.get(uid);
  assert.ok(found !== undefined, 'the entry is a workload');
  return found;
}

function group(spec: unknown): string {
  return resource('networking.istio.io/v1', 'WorkloadGroup', 'vms', 'shop', spec);
}

const byOwner = { ownerReferences: [{ kind: 'WorkloadGroup', name: 'vms', controller: true }] };
const byAnnotation = { annotations: { 'istio.io/autoRegistrationGroup': 'vms' } };

void describe('a WorkloadEntry', () => {
  test('is a workload, not a pod, with what it says', () => {
    const spec = {
      address: 'FD00::0:7',
      labels: { app: 'db', version: 'v2' },
      locality: 'eu/eu-1/rack',
      weight: 3,
      serviceAccount: 'db',
    };
    assert.deepEqual(entryOf(derive(workloadEntry('vm', spec))), {
      uid,
      name: 'vm',
      namespace: 'shop',
      addresses: ['fd00::7'],
      hostNetwork: false,
      protocol: 'tcp',
      nativeTunnel: false,
      trustDomain: 'cluster.local',
      serviceAccount: 'db',
      node: '',
      workloadName: 'vm',
      workloadType: 'pod',
      canonicalName: 'db',
      canonicalRevision: 'v2',
      app: 'db',
      version: 'v2',
      clusterId: 'Kubernetes',
      locality: { region: 'eu', zone: 'eu-1', subzone: 'rack' },
      services: new Map(),
      authorizationPolicies: [],
      status: 'healthy',
      capacity: 3,
      podUid: null,
      hostname: '',
      waypoint: null,
      applicationTunnel: null,
      guardedByService: false,
      selectedByNetworkPolicy: false,
    } satisfies Workload);
  });

  for (const version of ['v1', 'v1beta1', 'v1alpha3']) {
    test(`may be of ${version}`, () => {
      const state = derive(
        resource(`networking.istio.io/${version}`, 'WorkloadEntry', 'vm', 'shop', { address: '10.0.0.7' }),
      );
      assert.equal(entryOf(state).serviceAccount, 'default');
    });
  }

  for (const [labels, annotations, protocol, nativeTunnel] of [
    [{ 'networking.istio.io/tunnel': 'http' }, {}, 'hbone', true],
    [{}, { 'networking.istio.io/tunnel': 'http' }, 'hbone', true],
    [{}, { 'ambient.istio.io/redirection': 'enabled' }, 'hbone', false],
    [{ 'istio.io/dataplane-mode': 'ambient' }, {}, 'tcp', false],
  ] as const) {
    test(`with ${JSON.stringify({ ...labels, ...annotations })} speaks ${protocol}`, () => {
      const found = entryOf(derive(workloadEntry('vm', { address: '10.0.0.7' }, { labels, annotations })));
      assert.deepEqual([found.protocol, found.nativeTunnel], [protocol, nativeTunnel]);
    });
  }

  for (const [spec, reason] of [
    [{ address: 'unix:///run/x.sock' }, 'UnixSocket'],
    [{ address: 'vm.example.com' }, 'NotResolved'],
    [{ address: '127.0.0.1' }, 'ForbiddenAddress'],
    [{ address: '240.240.255.254' }, 'ForbiddenAddress'],
    [{ address: '2001:2:0:ffff:ffff:ffff:ffff:fffe' }, 'ForbiddenAddress'],
    [{ address: '::1' }, 'ForbiddenAddress'],
    [{ address: '::ffff:127.0.0.1' }, 'ForbiddenAddress'],
    [{ address: 'fe80::1' }, 'ForbiddenAddress'],
    [{ address: '169.254.169.254' }, 'ForbiddenAddress'],
    [{ address: '0.0.0.0' }, 'ForbiddenAddress'],
    [{ address: '224.0.0.1' }, 'ForbiddenAddress'],
    [{}, 'NoAddress'],
    [{ address: '10.0.0.7', network: 'elsewhere' }, 'OtherNetwork'],
  ] as const) {
    test(`with ${JSON.stringify(spec)} is left out, and says so`, () => {
      const state = derive(workloadEntry('vm', spec));
      assert.equal(state.workloads.size, 0);
      assert.deepEqual(reasons(state), [`WorkloadEntry shop/vm: Accepted/${reason}`]);
    });
  }

  test('lies in the network of the mesh by its name', () => {
    const state = derive(
      meshSettings({ network: 'here' }),
      workloadEntry('vm', { address: '10.0.0.7', network: 'here' }),
    );
    assert.deepEqual(entryOf(state).addresses, ['10.0.0.7']);
  });

  test('stands behind the Services and ServiceEntries whose selectors its labels match, ports by their names', () => {
    const state = derive(
      service('web', {
        clusterIP: '10.96.0.1',
        selector: { app: 'vm' },
        ports: [
          { name: 'http', port: 80, targetPort: 8080 },
          { name: 'admin', port: 81, targetPort: 'adm' },
          { name: 'lost', port: 82, targetPort: 'nowhere' },
        ],
      }),
      serviceEntry('vms', {
        hosts: ['vms.example.com'],
        addresses: ['10.97.0.1'],
        resolution: 'STATIC',
        ports: [
          { number: 90, name: 'http', protocol: 'HTTP' },
          { number: 91, name: 'other', protocol: 'TCP', targetPort: 9191 },
          { number: 92, name: 'same', protocol: 'TCP' },
        ],
        workloadSelector: { labels: { app: 'vm' } },
      }),
      serviceEntry('none', {
        hosts: ['none.example.com'],
        addresses: ['10.97.0.2'],
        resolution: 'STATIC',
        ports: [],
        workloadSelector: { labels: {} },
      }),
      workloadEntry('vm', { address: '10.0.0.7', labels: { app: 'vm' }, ports: { http: 8888, adm: 9999 } }),
    );
    const found = Object.fromEntries(
      [...entryOf(state).services].map(([key, ports]) => [key, Object.fromEntries(ports)]),
    );
    assert.deepEqual(found, {
      'shop/web.shop.svc.cluster.local': { 80: 8888, 81: 9999 },
      'shop/vms.example.com': { 90: 8888, 91: 9191, 92: 92 },
    });
  });

  test('gets the policies that its labels match', () => {
    const selector = { selector: { matchLabels: { app: 'vm' } } };
    const state = derive(
      authorizationPolicy('p', 'shop', selector),
      peerAuthentication('w', 'shop', { ...selector, mtls: { mode: 'STRICT' } }),
      workloadEntry('vm', { address: '10.0.0.7' }, { labels: { app: 'vm' } }),
    );
    assert.deepEqual(entryOf(state).authorizationPolicies, ['istio-system/istio_converted_static_strict', 'shop/p']);
  });

  for (const [status, expected] of [
    [{ conditions: [{ type: 'Healthy', status: 'False' }] }, 'unhealthy'],
    [{ conditions: [{ type: 'Healthy', status: 'True' }] }, 'healthy'],
    [{ conditions: [{ type: 'Other', status: 'False' }] }, 'healthy'],
    [{}, 'healthy'],
  ] as const) {
    test(`with status ${JSON.stringify(status)} is ${expected}`, () => {
      const written = JSON.parse(workloadEntry('vm', { address: '10.0.0.7' })) as object;
      assert.equal(entryOf(derive(JSON.stringify({ ...written, status }))).status, expected);
    });
  }

  for (const [how, metadata] of [
    ['an owner reference', byOwner],
    ['an annotation', byAnnotation],
  ] as const) {
    test(`that names a WorkloadGroup by ${how} takes over what it does not say itself`, () => {
      const template = {
        serviceAccount: 'vms',
        labels: { app: 'a', tier: 'template', version: 'v1' },
        ports: { http: 1, admin: 2 },
        locality: 'eu/eu-1',
        weight: 7,
      };
      const inGroup = {
        metadata: { labels: { tier: 'group' }, annotations: { 'ambient.istio.io/redirection': 'enabled' } },
      };
      const state = derive(
        group({ ...inGroup, template }),
        serviceEntry('all', {
          hosts: ['vms.example.com'],
          addresses: ['10.97.0.1'],
          resolution: 'STATIC',
          ports: [
            { number: 80, name: 'http' },
            { number: 81, name: 'admin' },
          ],
          workloadSelector: { labels: { tier: 'group', app: 'own' } },
        }),
        workloadEntry('vm', { address: '10.0.0.7', labels: { app: 'own' }, ports: { http: 8 }, weight: 2 }, metadata),
      );
      const found = entryOf(state);
      assert.deepEqual(
        [found.serviceAccount, found.protocol, found.capacity, found.locality.zone, found.workloadName, found.version],
        ['vms', 'hbone', 2, 'eu-1', 'vms', 'v1'],
      );
      assert.deepEqual(
        [...(found.services.get('shop/vms.example.com') ?? [])],
        [
          [80, 8],
          [81, 2],
        ],
      );
      assert.deepEqual(reasons(state), []);
    });
  }

  test('whose WorkloadGroup is not there counts as it is written, and says so', () => {
    const state = derive(workloadEntry('vm', { address: '10.0.0.7' }, byOwner));
    assert.deepEqual(entryOf(state).addresses, ['10.0.0.7']);
    assert.deepEqual(reasons(state), ['WorkloadEntry shop/vm: Accepted/GroupNotFound']);
  });

  test('of a WorkloadGroup of another namespace has none', () => {
    const other = resource('networking.istio.io/v1', 'WorkloadGroup', 'vms', 'other', {
      template: { serviceAccount: 'x' },
    });
    assert.equal(
      entryOf(derive(other, workloadEntry('vm', { address: '10.0.0.7' }, byOwner))).serviceAccount,
      'default',
    );
  });

  test('has a WorkloadGroup whose probe is not run, which is said', () => {
    assert.deepEqual(reasons(derive(group({ template: {}, probe: { httpGet: { port: 80 } } }))), [
      'WorkloadGroup shop/vms: Accepted/ProbeNotSupported',
    ]);
  });
});
