import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { LocalPod, Service, WaypointReference, Workload } from '../../../src/model/workload.ts';
import type { InboundQuestion, OutboundQuestion } from '../../../src/native/binding.ts';
import { decideInbound, isAllowed, policiesOfPod } from '../../../src/ztunnel/inbound.ts';
import type { InboundDecision } from '../../../src/ztunnel/inbound.ts';
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
  policy,
  service,
  serviceKey,
  workload,
} from '../../support/mesh-builders.ts';
import type { StateParts } from '../../support/mesh-builders.ts';

const terms = { required: false, whenUnready: 'refuse' } as const;
const mesh = { name: 'w', vips: ['10.96.0.9', 'fd00:96::9'], ports: new Map([[15008, 15008]]) };
const gateway = service('w', mesh);

function reference(of: Service = gateway, overrides: Partial<WaypointReference> = {}): WaypointReference {
  const { namespace, hostname } = of;
  return { ...{ kind: 'hostname', namespace, hostname, port: 15008 }, ...terms, ...overrides } as WaypointReference;
}

const endpointOf = (of: Service, port = 80, target = 8080) => new Map([[serviceKey(of), new Map([[port, target]])]]);
const proxy = { protocol: 'proxy', port: 15088 } as const;

const client = workload('client', { node: NODE, addresses: ['10.1.0.1', 'fd00:1::1'] });
const envoy = workload('envoy', {
  addresses: ['10.1.0.8', 'fd00:1::8'],
  services: endpointOf(gateway, 15008, 15008),
  applicationTunnel: proxy,
});
const unready: Workload = { ...envoy, status: 'unhealthy' };
const required = reference(gateway, { required: true });

async function storeOf(parts: StateParts, onDemand = false): Promise<WorkloadStore> {
  const store = new WorkloadStore(NODE, meshState(), onDemand);
  store.commit(await differenceOf(meshState(), meshState(parts)));
  return store;
}

/** What one of the node's own pods gets, the client unless said otherwise. */
async function outbound(
  parts: { workloads: readonly Workload[]; services: readonly Service[] },
  asked: Partial<OutboundQuestion> = {},
  own: Workload = client,
): Promise<OutboundDecision> {
  const store = await storeOf({ ...parts, workloads: [own, ...parts.workloads], localPods: [localPod(own)] });
  return decideOutbound(store, outboundQuestion({ pod: localPod(own).uid, ...asked }));
}

function outboundQuestion(asked: Partial<OutboundQuestion>): OutboundQuestion {
  return { kind: 'outbound', id: 1, pod: localPod(client).uid, destination: '10.96.0.1', port: 80, ...asked };
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

function refusal(decision: OutboundDecision): string {
  assert.equal(decision.action, 'deny');
  return decision.reason;
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

suite('outbound to the control plane', () => {
  const control = { address: 'control.example', port: 15012, serverName: 'istiod.istio-system.svc' };
  const own: Workload = { ...envoy, node: NODE };

  async function asked(source: Workload, question: Partial<OutboundQuestion>, known = true): Promise<OutboundDecision> {
    const store = await storeOf({ workloads: [source], localPods: [localPod(source)] });
    store.setControl(known ? control : null);
    return decideOutbound(store, outboundQuestion({ pod: localPod(source).uid, ...question }));
  }

  for (const destination of ['240.240.255.254', '2001:2:0:ffff:ffff:ffff:ffff:fffe']) {
    test(`of a waypoint is relayed by ${destination}`, async () => {
      const decision = await asked(own, { destination, port: 15010 });
      assert.equal(decision.action, 'relay');
      assert.deepEqual(decision.relay, control);
      assert.equal(decision.mask.anyPort, false);
    });
  }

  test('is refused where nobody knows one', async () => {
    assert.equal(refusal(await asked(own, { destination: '240.240.255.254', port: 15010 }, false)), 'no_control_plane');
  });

  test('of another pod is passed on as to any address that is nobody’s', async () => {
    assert.equal((await asked(client, { destination: '240.240.255.254', port: 15010 })).action, 'passthrough');
  });

  test('at another port is passed on', async () => {
    const decision = await asked(own, { destination: '240.240.255.254', port: 80 });
    assert.equal(decision.action, 'passthrough');
  });

  test('is in no answer for the addresses around it', async () => {
    const decision = await asked(own, { destination: '240.240.255.255' });
    assert.equal(decision.action, 'passthrough');
    assert.equal(decision.mask.prefixLength, 32);
    assert.equal((await asked(own, { destination: '192.0.2.1' })).mask.prefixLength, 3);
  });
});

const strictPolicy = policy('strict', { scope: 'global' }, { notPrincipals: [{ kind: 'presence' }] });

function inboundQuestion(asked: Partial<InboundQuestion>): InboundQuestion {
  return {
    kind: 'inbound',
    id: 1,
    pod: 'uid-server',
    peer: identity(client),
    source: '10.1.0.1',
    destination: '10.1.0.2',
    port: 8080,
    transport: 'mutual_tls',
    ...asked,
  };
}

suite('inbound to what has a waypoint', () => {
  const web = service('web', { vips: ['10.96.0.1'] });
  const server = workload('server', { node: NODE, addresses: ['10.1.0.2'], services: endpointOf(web) });
  const other = service('other');
  const otherEnvoy = workload('other', { addresses: ['10.1.0.7'], services: endpointOf(other, 15008, 15008) });

  async function inbound(
    own: Partial<Workload>,
    ofService: Partial<Service>,
    asked: Partial<InboundQuestion>,
    pods: readonly Workload[] = [envoy],
  ): Promise<InboundDecision> {
    const store = await storeOf({
      workloads: [client, otherEnvoy, { ...server, ...own }, ...pods],
      services: [{ ...web, ...ofService }, gateway, other],
      localPods: [localPod(server)],
    });
    const question = inboundQuestion(asked);
    const decision = decideInbound(store, question);
    assert.equal(isAllowed(policiesOfPod(store, question.pod), question), decision.allowed);
    return decision;
  }
  const ofEnvoy = { peer: identity(envoy), source: '10.1.0.8' };
  const refused = { allowed: false, reason: 'not_through_waypoint' } as const;
  const pick = ({ allowed, reason }: InboundDecision) => ({ allowed, reason });

  test('of its own takes what the waypoint sends', async () => {
    assert.equal((await inbound({ waypoint: required }, {}, ofEnvoy)).allowed, true);
  });

  for (const [what, asked] of [
    ['another client', {}],
    ['a client without identity', { peer: null, transport: 'plaintext' as const }],
    ['a pod of the same node', { transport: 'node_local' as const }],
    ['another waypoint', { peer: identity(otherEnvoy), source: '10.1.0.7' }],
    ['the waypoint’s address without its identity', { source: '10.1.0.8' }],
  ] as const) {
    test(`of its own refuses ${what}, at every port`, async () => {
      for (const port of [8080, 9]) {
        assert.deepEqual(pick(await inbound({ waypoint: required }, {}, { ...asked, port })), refused);
      }
    });
  }

  test('of its own takes what the waypoint of a service of its sends', async () => {
    const asked = { peer: identity(otherEnvoy), source: '10.1.0.7' };
    const decision = await inbound({ waypoint: required }, { waypoint: reference(other) }, asked);
    assert.equal(decision.allowed, true);
  });

  test('that is not required takes everybody', async () => {
    assert.equal((await inbound({ waypoint: reference() }, { waypoint: reference() }, {})).allowed, true);
  });

  test('takes what a pod of the waypoint sends that is ending', async () => {
    assert.equal((await inbound({ waypoint: required }, {}, ofEnvoy, [unready])).allowed, true);
  });

  test('refuses everybody while nothing of the waypoint is known', async () => {
    assert.deepEqual(pick(await inbound({ waypoint: required }, {}, ofEnvoy, [])), refused);
  });

  test('takes everybody while it is not ready where its terms say so', async () => {
    const lax = { waypoint: { ...required, whenUnready: 'direct' } as const };
    assert.equal((await inbound(lax, {}, {}, [unready])).allowed, true);
    assert.deepEqual(pick(await inbound(lax, {}, {})), refused);
  });

  test('of a service that requires it refuses others where the service leads to, and only there', async () => {
    const ofService = { waypoint: required };
    assert.deepEqual(pick(await inbound({}, ofService, {})), refused);
    assert.equal((await inbound({}, ofService, ofEnvoy)).allowed, true);
    assert.equal((await inbound({}, ofService, { port: 9090 })).allowed, true);
  });

  test('of a service that requires it guards the ports that only the service names', async () => {
    const unnamed = { services: new Map([[serviceKey(web), new Map<number, number>()]]) };
    assert.deepEqual(pick(await inbound(unnamed, { waypoint: required }, {})), refused);
  });

  test('is still subject to policies, which see the waypoint', async () => {
    const denial = policy('deny', { scope: 'global' }, { principals: [{ kind: 'suffix', value: '/sa/envoy' }] });
    const store = await storeOf({
      workloads: [{ ...server, waypoint: required }, envoy],
      services: [web, gateway],
      localPods: [localPod(server)],
      policies: [denial],
    });
    assert.equal(decideInbound(store, inboundQuestion(ofEnvoy)).reason, 'policy_denied');
  });

  test('is refused whatever the address of the client', async () => {
    const { mask } = await inbound({ waypoint: required, services: new Map() }, {}, {});
    assert.deepEqual(mask, { prefixLength: 0, anyPort: true, anyDestination: true });
  });
});

suite('inbound to a waypoint', () => {
  const web = service('web', { vips: ['10.96.0.1'], waypoint: reference() });
  const loose = service('loose', { vips: ['10.96.0.2'] });
  const pod = workload('pod', { addresses: ['10.1.0.2'], waypoint: required });
  const own: Workload = { ...envoy, node: NODE };
  const ownPod: LocalPod = localPod(own, { handover: true });

  async function inbound(asked: Partial<InboundQuestion>, parts: StateParts = {}): Promise<InboundDecision> {
    const store = await storeOf({
      workloads: [client, pod, own],
      services: [web, loose, gateway],
      localPods: [ownPod],
      ...parts,
    });
    return decideInbound(store, inboundQuestion({ pod: ownPod.uid, destination: '10.96.0.1', port: 80, ...asked }));
  }

  test('for a service that it stands before is handed over', async () => {
    const decision = await inbound({});
    assert.deepEqual([decision.allowed, decision.handover], [true, 15088]);
    assert.equal(decision.service, serviceKey(web));
    assert.equal(decision.sourceWorkload, client);
    assert.equal(decision.mask.anyDestination, false);
  });

  test('for a workload that it stands before is handed over', async () => {
    const decision = await inbound({ destination: '10.1.0.2', port: 9 });
    assert.deepEqual([decision.allowed, decision.handover, decision.service], [true, 15088, null]);
  });

  for (const [what, destination] of [
    ['a service that it does not stand before', '10.96.0.2'],
    ['an address that is nobody’s', '192.0.2.1'],
    ['an address of its own service', '10.96.0.9'],
    ['loopback', '127.0.0.1'],
  ] as const) {
    test(`for ${what} is refused`, async () => {
      const decision = await inbound({ destination });
      assert.deepEqual([decision.allowed, decision.reason, decision.handover], [false, 'not_this_waypoint', null]);
    });
  }

  test('for others is refused to a peer without identity', async () => {
    const decision = await inbound({ peer: null, transport: 'plaintext' });
    assert.equal(decision.reason, 'invalid_peer');
  });

  test('for itself goes where it was meant to go', async () => {
    const decision = await inbound({ destination: '10.1.0.8', port: 15020 });
    assert.deepEqual([decision.allowed, decision.handover], [true, null]);
    assert.equal(decision.mask.anyDestination, false);
  });

  test('is subject to its policies, which see the client', async () => {
    const denial = policy('deny', { scope: 'global' }, { principals: [{ kind: 'suffix', value: '/sa/client' }] });
    const decision = await inbound({}, { policies: [denial] });
    assert.deepEqual([decision.reason, decision.policy, decision.handover], ['policy_denied', 'default/deny', null]);
    assert.equal((await inbound({}, { policies: [strictPolicy] })).allowed, true);
  });

  test('of several services with one address is for that of the client’s namespace', async () => {
    const inOther = { ...web, namespace: 'other', waypoint: null, canonical: false };
    const stranger = workload('stranger', { namespace: 'other', addresses: ['10.1.0.6'] });
    const parts = { workloads: [client, stranger, own], services: [web, inOther, gateway] };
    assert.equal((await inbound({}, parts)).allowed, true);
    const asked = { peer: identity(stranger), source: '10.1.0.6' };
    assert.equal((await inbound(asked, parts)).reason, 'not_this_waypoint');
  });

  test('that is in another network is not this one', async () => {
    const byAddress = { kind: 'address', network: 'n', address: '10.1.0.8', port: 15008, ...terms } as const;
    const services = [{ ...web, waypoint: byAddress }];
    assert.equal((await inbound({}, { services })).reason, 'not_this_waypoint');
    const settings = meshSettings({ network: 'n' });
    assert.equal((await inbound({}, { services, settings })).allowed, true);
  });
});
