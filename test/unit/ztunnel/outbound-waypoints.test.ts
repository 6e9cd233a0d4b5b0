import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Service, Workload } from '../../../src/model/workload.ts';
import type { OutboundQuestion } from '../../../src/native/binding.ts';
import { decideOutbound } from '../../../src/ztunnel/outbound.ts';
import type { OutboundDecision } from '../../../src/ztunnel/outbound.ts';
import { NODE, identity, localPod, service, workload } from '../../support/mesh-builders.ts';
import {
  client,
  endpointOf,
  envoy,
  gateway,
  outboundQuestion,
  reference,
  refusal,
  required,
  storeOf,
  terms,
  unready,
} from './waypoint-rig.ts';

/** What one of the node's own pods gets, the client unless said otherwise. */
async function outbound(
  parts: { workloads: readonly Workload[]; services: readonly Service[] },
  asked: Partial<OutboundQuestion> = {},
  own: Workload = client,
): Promise<OutboundDecision> {
  const store = await storeOf({ ...parts, workloads: [own, ...parts.workloads], localPods: [localPod(own)] });
  return decideOutbound(store, outboundQuestion({ pod: localPod(own).uid, ...asked }));
}

interface Shown {
  readonly address: string;
  readonly authority: string | null;
  readonly weight: number;
}

/** Where it goes and what is asked for there. */
function waysOf(decision: OutboundDecision): readonly Shown[] {
  assert.equal(decision.action, 'connect');
  return decision.target.set.endpoints.map(({ address, weight, authority: own }) => {
    const authority = own ?? decision.authority;
    return { address, weight, authority: authority === null ? null : `${authority.address} ${authority.port}` };
  });
}

suite('outbound to a service that has a waypoint', () => {
  const web = service('web', { vips: ['10.96.0.1', 'fd00:96::1'], waypoint: reference() });
  const pod = workload('pod', { addresses: ['10.1.0.2'], services: endpointOf(web) });

  test('goes to the waypoint, which is asked for the service', async () => {
    const decision = await outbound({ workloads: [envoy, pod], services: [web, gateway] });
    assert.deepEqual(waysOf(decision), [{ address: '10.1.0.8', authority: '10.96.0.1 80', weight: 1 }]);
    assert.equal(decision.service, web);
    assert.deepEqual(decision.mask, { prefixLength: 32, anyPort: false, anyDestination: true });
    assert.equal(decision.action, 'connect');
    assert.deepEqual(decision.target.set.endpoints[0]?.identities, [identity(envoy)]);
  });

  test('goes to an address of the waypoint of the family that the client used', async () => {
    const decision = await outbound(
      { workloads: [envoy, pod], services: [web, gateway] },
      { destination: 'fd00:96::1' },
    );
    assert.deepEqual(waysOf(decision), [{ address: 'fd00:1::8', authority: 'fd00:96::1 80', weight: 1 }]);
  });

  test('goes to any replica that is ready', async () => {
    const second = workload('envoy-2', { addresses: ['10.1.0.9'], services: envoy.services });
    const third = workload('envoy-3', { addresses: ['10.1.0.10'], services: envoy.services, status: 'unhealthy' });
    const decision = await outbound({ workloads: [envoy, second, third, pod], services: [web, gateway] });
    assert.deepEqual(
      waysOf(decision).map(({ address }) => address),
      ['10.1.0.8', '10.1.0.9'],
    );
  });

  test('goes to a near replica where the waypoint’s service asks for that', async () => {
    const near = workload('envoy-2', { node: NODE, addresses: ['10.1.0.9'], services: envoy.services });
    const loadBalancing = { mode: 'failover', scopes: ['node'], healthPolicy: 'only-healthy' } as const;
    const services = [web, { ...gateway, loadBalancing }];
    const decision = await outbound({ workloads: [envoy, near, pod], services });
    assert.deepEqual(
      waysOf(decision).map(({ address }) => address),
      ['10.1.0.9'],
    );
  });

  test('accepts the names that the waypoint’s service gives its pods', async () => {
    const named = { ...gateway, subjectAltNames: ['spiffe://cluster.local/ns/default/sa/other'] };
    const decision = await outbound({ workloads: [envoy], services: [web, named] });
    assert.equal(decision.action, 'connect');
    assert.deepEqual(decision.target.set.endpoints[0]?.identities, [identity(envoy), ...named.subjectAltNames]);
  });

  test('finds the waypoint by an address of its service', async () => {
    const byAddress = { kind: 'address', network: '', address: '10.96.0.9', port: 15008, ...terms } as const;
    const services = [{ ...web, waypoint: byAddress }, gateway];
    assert.equal(waysOf(await outbound({ workloads: [envoy, pod], services }))[0]?.address, '10.1.0.8');
  });

  test('finds the waypoint by the address of its pod', async () => {
    const byAddress = { kind: 'address', network: '', address: '10.1.0.8', port: 15008, ...terms } as const;
    const services = [{ ...web, waypoint: byAddress }];
    assert.equal(waysOf(await outbound({ workloads: [envoy, pod], services }))[0]?.address, '10.1.0.8');
  });

  for (const [what, waypoint, pods] of [
    ['has no pod', reference(), []],
    ['has no pod that is ready', reference(), [unready]],
    ['has no pod that takes tunnels', reference(), [{ ...envoy, protocol: 'tcp' as const }]],
    ['has no pod with an address', reference(), [{ ...envoy, addresses: [] }]],
    ['is one that nobody knows', reference(service('gone')), [envoy]],
    ['takes tunnels at a port of its own', reference(gateway, { port: 15443 }), [envoy]],
    [
      'is in another network',
      { kind: 'address', network: 'n', address: '10.96.0.9', port: 15008, ...terms } as const,
      [envoy],
    ],
  ] as const) {
    test(`is refused where that ${what}`, async () => {
      const services = [{ ...web, waypoint }, gateway];
      assert.equal(refusal(await outbound({ workloads: [pod, ...pods], services })), 'waypoint_not_ready');
    });
  }

  test('goes past a waypoint that is not ready where its terms say so', async () => {
    const services = [{ ...web, waypoint: reference(gateway, { whenUnready: 'direct' }) }, gateway];
    const decision = await outbound({ workloads: [unready, pod], services });
    assert.deepEqual(waysOf(decision), [{ address: '10.1.0.2', authority: null, weight: 1 }]);
  });

  test('of the waypoint’s own pods goes to the endpoints', async () => {
    const decision = await outbound({ workloads: [pod], services: [web, gateway] }, {}, { ...envoy, node: NODE });
    assert.deepEqual(waysOf(decision), [{ address: '10.1.0.2', authority: null, weight: 1 }]);
  });

  test('goes to the waypoint also where the service passes everything on', async () => {
    const loadBalancing = { mode: 'passthrough', scopes: [], healthPolicy: 'allow-all' } as const;
    const decision = await outbound({ workloads: [envoy], services: [{ ...web, loadBalancing }, gateway] });
    assert.equal(waysOf(decision)[0]?.authority, '10.96.0.1 80');
  });

  test('says nothing of traffic to its pods’ own addresses', async () => {
    const decision = await outbound({ workloads: [envoy, pod], services: [web, gateway] }, { destination: '10.1.0.2' });
    assert.deepEqual(waysOf(decision), [{ address: '10.1.0.2', authority: null, weight: 1 }]);
  });
});

suite('outbound to a workload that has a waypoint', () => {
  const web = service('web', { vips: ['10.96.0.1'] });
  const guarded = workload('guarded', { addresses: ['10.1.0.2'], services: endpointOf(web), waypoint: required });
  const plain = workload('plain', { addresses: ['10.1.0.3'], services: endpointOf(web) });
  const direct = { destination: '10.1.0.2', port: 8080 };

  test('goes to the waypoint, which is asked for the workload', async () => {
    const decision = await outbound({ workloads: [envoy, guarded], services: [web, gateway] }, direct);
    assert.deepEqual(waysOf(decision), [{ address: '10.1.0.8', authority: '10.1.0.2 8080', weight: 1 }]);
    assert.equal(decision.service, null);
    assert.equal(decision.mask.anyPort, false);
  });

  test('goes to the waypoint also where the workload is outside the mesh', async () => {
    const outsider: Workload = { ...guarded, protocol: 'tcp' };
    const decision = await outbound({ workloads: [envoy, outsider], services: [gateway] }, direct);
    assert.equal(waysOf(decision)[0]?.address, '10.1.0.8');
  });

  test('is refused while that is not ready', async () => {
    const decision = await outbound({ workloads: [unready, guarded], services: [gateway] }, direct);
    assert.equal(refusal(decision), 'waypoint_not_ready');
  });

  test('goes straight while that is not ready where its terms say so', async () => {
    const lax: Workload = { ...guarded, waypoint: { ...required, whenUnready: 'direct' } };
    const decision = await outbound({ workloads: [unready, lax], services: [gateway] }, direct);
    assert.deepEqual(waysOf(decision), [{ address: '10.1.0.2', authority: null, weight: 1 }]);
  });

  test('of the waypoint’s own pods goes straight', async () => {
    const decision = await outbound({ workloads: [guarded], services: [gateway] }, direct, { ...envoy, node: NODE });
    assert.deepEqual(waysOf(decision), [{ address: '10.1.0.2', authority: null, weight: 1 }]);
  });

  test('of the waypoint of a service that it is an endpoint of goes straight', async () => {
    const other = service('other');
    const services = [{ ...web, waypoint: reference(other) }, gateway, other];
    const source = workload('other', {
      node: NODE,
      addresses: ['10.1.0.7'],
      services: endpointOf(other, 15008, 15008),
    });
    const decision = await outbound({ workloads: [envoy, guarded], services }, direct, source);
    assert.deepEqual(waysOf(decision), [{ address: '10.1.0.2', authority: null, weight: 1 }]);
  });

  test('by a service without a waypoint goes to the workload’s, which is asked for the workload', async () => {
    const decision = await outbound({ workloads: [envoy, guarded, plain], services: [web, gateway] });
    assert.deepEqual(waysOf(decision), [
      { address: '10.1.0.8', authority: '10.1.0.2 8080', weight: 1 },
      { address: '10.1.0.3', authority: null, weight: 1 },
    ]);
  });

  test('by a service shares what is its own among the waypoint’s replicas', async () => {
    const second = workload('envoy-2', { addresses: ['10.1.0.9'], services: envoy.services });
    const decision = await outbound({ workloads: [envoy, second, guarded, plain], services: [web, gateway] });
    assert.deepEqual(
      waysOf(decision).map(({ address, weight }) => [address, weight]),
      [
        ['10.1.0.8', 1],
        ['10.1.0.9', 1],
        ['10.1.0.3', 2],
      ],
    );
  });

  test('by a service is left out while its waypoint is not ready', async () => {
    const some = await outbound({ workloads: [unready, guarded, plain], services: [web, gateway] });
    assert.deepEqual(waysOf(some), [{ address: '10.1.0.3', authority: null, weight: 1 }]);
    const none = await outbound({ workloads: [unready, guarded], services: [web, gateway] });
    assert.equal(refusal(none), 'waypoint_not_ready');
  });

  test('by a service goes straight where the waypoint is not required, as in Istio', async () => {
    const lax: Workload = { ...guarded, waypoint: reference() };
    const decision = await outbound({ workloads: [envoy, lax], services: [web, gateway] });
    assert.deepEqual(waysOf(decision), [{ address: '10.1.0.2', authority: null, weight: 1 }]);
  });

  test('by a service has a set of its own for each way', async () => {
    const parts = { workloads: [envoy, guarded], services: [web, gateway] };
    const byClient = await outbound(parts);
    const byWaypoint = await outbound({ ...parts, workloads: [guarded] }, {}, { ...envoy, node: NODE });
    assert.ok(byClient.action === 'connect' && byWaypoint.action === 'connect');
    assert.notEqual(byClient.target.set.id, byWaypoint.target.set.id);
  });
});
