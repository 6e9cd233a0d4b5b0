import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Workload } from '../../../src/model/workload.ts';
import type { OutboundQuestion } from '../../../src/native/binding.ts';
import { decideOutbound } from '../../../src/ztunnel/outbound.ts';
import type { OutboundDecision } from '../../../src/ztunnel/outbound.ts';
import { differenceOf } from '../../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../../src/ztunnel/workload-store.ts';
import {
  NODE,
  identity,
  localPod,
  meshSettings,
  meshState,
  service,
  serviceKey,
  workload,
} from '../../support/mesh-builders.ts';
import type { StateParts } from '../../support/mesh-builders.ts';

const client = workload('client', { node: NODE, addresses: ['10.1.0.1', 'fd00:1::1'] });
const clientPod = localPod(client);

async function storeOf(parts: StateParts): Promise<WorkloadStore> {
  const store = new WorkloadStore(NODE, meshState());
  const state = meshState({
    ...parts,
    workloads: [client, ...(parts.workloads ?? [])],
    localPods: [clientPod, ...(parts.localPods ?? [])],
  });
  store.commit(await differenceOf(meshState(), state));
  return store;
}

const question = (destination: string, port = 80, pod = clientPod.uid): OutboundQuestion => ({
  kind: 'outbound',
  id: 1,
  pod,
  destination,
  port,
});

function endpointsOf(decision: OutboundDecision): readonly { address: string; port: number; weight: number }[] {
  assert.equal(decision.action, 'connect');
  return decision.target.set.endpoints.map(({ address, port, weight }) => ({ address, port, weight }));
}

const behind = (name: string, ports: readonly (readonly [number, number])[]) =>
  new Map([[serviceKey(service(name)), new Map(ports)]]);

suite('outbound decisions', () => {
  test('a pod that is not known is denied, whatever it asks for', async () => {
    const decision = decideOutbound(await storeOf({}), question('10.9.9.9', 80, 'nobody'));
    assert.deepEqual(decision, {
      action: 'deny',
      reason: 'unknown_source',
      service: null,
      mask: { prefixLength: 0, anyPort: true, anyDestination: true },
    });
  });

  test('an unknown address passes through, with an answer for the whole hole around it', async () => {
    const decision = decideOutbound(await storeOf({}), question('192.0.2.7'));
    assert.equal(decision.action, 'passthrough');
    assert.deepEqual(decision.mask, { prefixLength: 1, anyPort: true, anyDestination: true });
  });

  test('a workload of the mesh gets a tunnel to its address, at the port that was asked for', async () => {
    const server = workload('server', { addresses: ['10.1.0.2'] });
    const decision = decideOutbound(await storeOf({ workloads: [server] }), question('10.1.0.2', 9000));
    assert.equal(decision.action, 'connect');
    assert.deepEqual(decision.target.set.endpoints, [
      {
        workload: server.uid,
        podUid: 'uid-server',
        address: '10.1.0.2',
        port: 0,
        protocol: 'hbone',
        identities: [identity(server)],
        weight: 1,
        local: false,
        authority: null,
      },
    ]);
    assert.deepEqual(decision.mask, { prefixLength: 32, anyPort: true, anyDestination: true });
  });

  test('a known workload outside the mesh is passed through and named', async () => {
    const outsider = workload('outsider', { addresses: ['10.1.0.3'], protocol: 'tcp' });
    const decision = decideOutbound(await storeOf({ workloads: [outsider] }), question('10.1.0.3'));
    assert.equal(decision.action, 'passthrough');
    assert.equal(decision.workload?.uid, outsider.uid);
  });

  test('an address is a workload before it is a service', async () => {
    const server = workload('server', { addresses: ['10.1.0.2'] });
    const store = await storeOf({ workloads: [server], services: [service('s', { vips: ['10.1.0.2'] })] });
    const decision = decideOutbound(store, question('10.1.0.2'));
    assert.equal(decision.action, 'connect');
    assert.equal(decision.service, null);
  });

  test('of two workloads with one address, a pod of the mesh is found', async () => {
    const entry = workload('entry', { addresses: ['10.1.0.2'], podUid: null });
    const plainPod = workload('plain', { addresses: ['10.1.0.2'], protocol: 'tcp' });
    const meshPod = workload('pod', { addresses: ['10.1.0.2'] });
    const store = await storeOf({ workloads: [entry, plainPod, meshPod] });
    const decision = decideOutbound(store, question('10.1.0.2'));
    assert.equal(decision.action, 'connect');
    assert.equal(decision.target.set.endpoints[0]?.workload, meshPod.uid);
  });

  test('a pod outside the mesh is found before an entry of the mesh', async () => {
    const entry = workload('entry', { addresses: ['10.1.0.2'], podUid: null });
    const plainPod = workload('plain', { addresses: ['10.1.0.2'], protocol: 'tcp' });
    const decision = decideOutbound(await storeOf({ workloads: [entry, plainPod] }), question('10.1.0.2'));
    assert.equal(decision.action, 'passthrough');
    assert.equal(decision.workload?.uid, plainPod.uid);
  });

  test('a host-network workload is not found by its node’s address', async () => {
    const daemon = workload('daemon', { addresses: ['10.1.0.9'], hostNetwork: true });
    const decision = decideOutbound(await storeOf({ workloads: [daemon] }), question('10.1.0.9'));
    assert.equal(decision.action, 'passthrough');
    assert.equal(decision.workload, null);
  });

  test('a service leads to its healthy endpoints, by capacity and at their own ports', async () => {
    const store = await storeOf({
      services: [service('s', { vips: ['10.96.0.1'], ports: new Map([[80, 8080]]) })],
      workloads: [
        workload('a', { addresses: ['10.1.0.2'], services: behind('s', [[80, 8080]]), capacity: 3 }),
        workload('b', { addresses: ['10.1.0.3'], services: behind('s', [[80, 9090]]) }),
        workload('c', { addresses: ['10.1.0.4'], services: behind('s', [[80, 8080]]), status: 'unhealthy' }),
      ],
    });
    const decision = decideOutbound(store, question('10.96.0.1'));
    assert.deepEqual(endpointsOf(decision), [
      { address: '10.1.0.2', port: 8080, weight: 3 },
      { address: '10.1.0.3', port: 9090, weight: 1 },
    ]);
    assert.deepEqual(decision.mask, { prefixLength: 32, anyPort: false, anyDestination: true });
  });

  test('unhealthy endpoints count where the service says so', async () => {
    const store = await storeOf({
      services: [
        service('s', {
          vips: ['10.96.0.1'],
          loadBalancing: { mode: 'standard', scopes: [], healthPolicy: 'allow-all' },
        }),
      ],
      workloads: [workload('a', { addresses: ['10.1.0.2'], services: behind('s', [[80, 8080]]), status: 'unhealthy' })],
    });
    assert.equal(endpointsOf(decideOutbound(store, question('10.96.0.1'))).length, 1);
  });

  test('a service accepts the identities of its endpoints and its own extra names', async () => {
    const extra = 'spiffe://cluster.local/ns/default/sa/extra';
    const endpoint = workload('a', { addresses: ['10.1.0.2'], services: behind('s', [[80, 8080]]) });
    const store = await storeOf({
      services: [service('s', { vips: ['10.96.0.1'], subjectAltNames: [extra] })],
      workloads: [endpoint],
    });
    const decision = decideOutbound(store, question('10.96.0.1'));
    assert.equal(decision.action, 'connect');
    assert.deepEqual(decision.target.set.endpoints[0]?.identities, [identity(endpoint), extra]);
  });

  test('a service without a usable endpoint denies', async () => {
    const store = await storeOf({ services: [service('s', { vips: ['10.96.0.1'] })] });
    const decision = decideOutbound(store, question('10.96.0.1'));
    assert.equal(decision.action, 'deny');
    assert.equal(decision.reason, 'no_healthy_upstream');
  });

  test('a port that the service does not have denies', async () => {
    const store = await storeOf({
      services: [service('s', { vips: ['10.96.0.1'] })],
      workloads: [workload('a', { addresses: ['10.1.0.2'], services: behind('s', [[80, 8080]]) })],
    });
    const decision = decideOutbound(store, question('10.96.0.1', 81));
    assert.equal(decision.action, 'deny');
    assert.equal(decision.reason, 'no_healthy_upstream');
  });

  test('a named target port that an endpoint does not map leaves that endpoint out', async () => {
    const store = await storeOf({
      services: [service('s', { vips: ['10.96.0.1'], ports: new Map([[80, 0]]) })],
      workloads: [
        workload('a', { addresses: ['10.1.0.2'], services: behind('s', []) }),
        workload('b', { addresses: ['10.1.0.3'], services: behind('s', [[80, 7070]]) }),
      ],
    });
    assert.deepEqual(endpointsOf(decideOutbound(store, question('10.96.0.1'))), [
      { address: '10.1.0.3', port: 7070, weight: 1 },
    ]);
  });

  test('a dual-stack endpoint is dialled in the family that the client used', async () => {
    const store = await storeOf({
      services: [service('s', { vips: ['10.96.0.1', 'fd00:96::1'] })],
      workloads: [workload('a', { addresses: ['10.1.0.2', 'fd00:1::2'], services: behind('s', [[80, 8080]]) })],
    });
    assert.equal(endpointsOf(decideOutbound(store, question('10.96.0.1')))[0]?.address, '10.1.0.2');
    assert.equal(endpointsOf(decideOutbound(store, question('fd00:96::1')))[0]?.address, 'fd00:1::2');
  });

  test('STRICT keeps the endpoints of the own node only', async () => {
    const store = await storeOf({
      services: [
        service('s', {
          vips: ['10.96.0.1'],
          loadBalancing: { mode: 'strict', scopes: ['node'], healthPolicy: 'only-healthy' },
        }),
      ],
      workloads: [
        workload('a', { addresses: ['10.1.0.2'], services: behind('s', [[80, 8080]]), node: NODE }),
        workload('b', { addresses: ['10.1.0.3'], services: behind('s', [[80, 8080]]) }),
      ],
    });
    assert.deepEqual(
      endpointsOf(decideOutbound(store, question('10.96.0.1'))).map(({ address }) => address),
      ['10.1.0.2'],
    );
  });

  test('FAILOVER takes the nearest group that has an endpoint', async () => {
    const at = (name: string, address: string, zone: string) =>
      workload(name, {
        addresses: [address],
        services: behind('s', [[80, 8080]]),
        locality: { region: '', zone, subzone: '' },
      });
    const store = await storeOf({
      services: [
        service('s', {
          vips: ['10.96.0.1'],
          loadBalancing: { mode: 'failover', scopes: ['region', 'zone', 'node'], healthPolicy: 'only-healthy' },
        }),
      ],
      workloads: [at('far', '10.1.0.2', 'elsewhere'), at('near', '10.1.0.3', '')],
    });
    assert.deepEqual(
      endpointsOf(decideOutbound(store, question('10.96.0.1'))).map(({ address }) => address),
      ['10.1.0.3'],
    );
  });

  test('FAILOVER falls back scope by scope, and never to what is unhealthy', async () => {
    const scopes = ['network', 'region', 'zone', 'subzone', 'node', 'cluster'] as const;
    const here = { region: 'r', zone: 'z', subzone: 's' };
    const near = { ...client, locality: here };
    const at = (name: string, address: string, place: Partial<Workload>) =>
      workload(name, {
        addresses: [address],
        services: behind('s', [[80, 8080]]),
        locality: here,
        node: NODE,
        ...place,
      });
    const fromNearest = [
      at('cluster', '10.1.0.1', {}),
      at('node', '10.1.0.2', { clusterId: 'other' }),
      at('subzone', '10.1.0.3', { node: 'node-2' }),
      at('zone', '10.1.0.4', { locality: { ...here, subzone: 'x' } }),
      // The same subzone of another zone is no nearer than anything else there.
      at('region', '10.1.0.5', { locality: { ...here, zone: 'x' } }),
      at('network', '10.1.0.6', { locality: { ...here, region: 'x' } }),
    ];
    const loadBalancing = { mode: 'failover', scopes, healthPolicy: 'only-healthy' } as const;
    for (const [index, expected] of fromNearest.entries()) {
      const workloads = fromNearest.map((value, at) =>
        at < index ? { ...value, status: 'unhealthy' as const } : value,
      );
      const store = new WorkloadStore(NODE, meshState());
      const services = [service('s', { vips: ['10.96.0.1'], loadBalancing })];
      const state = meshState({ services, workloads: [near, ...workloads], localPods: [clientPod] });
      store.commit(await differenceOf(meshState(), state));
      const chosen = endpointsOf(decideOutbound(store, question('10.96.0.1'))).map(({ address }) => address);
      assert.deepEqual(chosen, expected.addresses);
    }
  });

  test('a service that its own namespace sees is nobody elsewhere: its address alone passes through', async () => {
    const vips = ['10.96.0.1'];
    const hidden = service('s', { namespace: 'other', vips, visibility: 'namespace' });
    const decision = decideOutbound(await storeOf({ services: [hidden] }), question('10.96.0.1'));
    assert.equal(decision.action, 'passthrough');
    assert.deepEqual(decision.mask, { prefixLength: 32, anyPort: true, anyDestination: true });
    const seen = service('s', { vips, visibility: 'namespace' });
    const server = workload('server', { addresses: ['10.1.0.2'], services: behind('s', [[80, 8080]]) });
    const own = decideOutbound(await storeOf({ services: [seen], workloads: [server] }), question('10.96.0.1'));
    assert.deepEqual(endpointsOf(own), [{ address: '10.1.0.2', port: 8080, weight: 1 }]);
  });

  for (const [what, others, expected] of [
    ['the client has one of its namespace', [{ namespace: 'default', canonical: false }], 'default'],
    ['another is canonical', [{ namespace: 'x', canonical: true }], 'x'],
    ['all are alike', [{ namespace: 'x', canonical: false }], 'b'],
  ] as const) {
    test(`of several services at one address, where ${what}, that of ${expected} counts`, async () => {
      const at = (namespace: string, canonical: boolean) =>
        service('s', { namespace, canonical, hostname: 's.example.com', vips: ['10.96.0.1'] });
      const services = [at('b', false), ...others.map(({ namespace, canonical }) => at(namespace, canonical))];
      const decision = decideOutbound(await storeOf({ services }), question('10.96.0.1'));
      assert.equal(decision.action, 'deny');
      assert.equal(decision.service?.namespace, expected);
    });
  }
});

suite('joining pods of one node', () => {
  const server = workload('server', { node: NODE, addresses: ['10.1.0.2'] });
  const both = { workloads: [server], localPods: [localPod(server)] };

  async function joined(parts: StateParts, enrolled: readonly string[]): Promise<readonly boolean[]> {
    const store = await storeOf(parts);
    for (const uid of enrolled) store.setEnrolled(uid, true);
    const decision = decideOutbound(store, question('10.1.0.2'));
    assert.equal(decision.action, 'connect');
    return [decision.allowLocal, decision.target.set.endpoints[0]?.local === true];
  }

  test('two served pods may be joined', async () => {
    assert.deepEqual(await joined(both, [clientPod.uid, 'uid-server']), [true, true]);
  });

  test('a pod that the engine does not serve yet may not', async () => {
    assert.deepEqual(await joined(both, [clientPod.uid]), [true, false]);
  });

  test('a pod that a NetworkPolicy selects is left to the veth', async () => {
    const selected = { ...server, selectedByNetworkPolicy: true };
    const parts = { ...both, workloads: [selected] };
    assert.deepEqual(await joined(parts, [clientPod.uid, 'uid-server']), [true, false]);
  });

  test('the setting `local` joins also what a NetworkPolicy selects', async () => {
    const selected = { ...server, selectedByNetworkPolicy: true };
    const parts = { ...both, workloads: [selected], settings: meshSettings({ sameNode: 'local' }) };
    assert.deepEqual(await joined(parts, [clientPod.uid, 'uid-server']), [true, true]);
  });

  test('the setting `tls` joins nothing', async () => {
    const parts = { ...both, settings: meshSettings({ sameNode: 'tls' }) };
    assert.deepEqual(await joined(parts, [clientPod.uid, 'uid-server']), [false, false]);
  });

  test('a pod of another node is never local, even if a uid says so', async () => {
    const elsewhere = { ...server, node: 'node-2' };
    const parts = { ...both, workloads: [elsewhere] };
    assert.deepEqual(await joined(parts, [clientPod.uid, 'uid-server']), [true, false]);
  });
});
