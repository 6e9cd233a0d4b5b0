import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { LocalPod, Service, Workload } from '../../../src/model/workload.ts';
import type { InboundQuestion } from '../../../src/native/binding.ts';
import { decideInbound, isAllowed, policiesOfPod } from '../../../src/ztunnel/inbound.ts';
import type { InboundDecision } from '../../../src/ztunnel/inbound.ts';
import {
  NODE,
  identity,
  localPod,
  meshSettings,
  policy,
  service,
  serviceKey,
  workload,
} from '../../support/mesh-builders.ts';
import type { StateParts } from '../../support/mesh-builders.ts';
import {
  client,
  endpointOf,
  envoy,
  gateway,
  inboundQuestion,
  proxy,
  reference,
  required,
  storeOf,
  terms,
  unready,
} from './waypoint-rig.ts';

const strictPolicy = policy('strict', { scope: 'global' }, { notPrincipals: [{ kind: 'presence' }] });

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

suite('inbound to a gateway', () => {
  const web = service('web', { vips: ['10.96.0.1'], waypoint: reference() });
  const edge = workload('edge', {
    node: NODE,
    addresses: ['10.1.0.5'],
    applicationTunnel: { ...proxy, gateway: true },
  });

  async function inbound(asked: Partial<InboundQuestion>, parts: StateParts = {}): Promise<InboundDecision> {
    const pod = localPod(edge, { handover: true, bypassInbound: true });
    const store = await storeOf({
      ...{ workloads: [client, envoy, edge], services: [web, gateway], localPods: [pod] },
      ...parts,
    });
    return decideInbound(store, inboundQuestion({ pod: pod.uid, destination: '10.1.0.5', ...asked }));
  }

  test('by a tunnel to its own ports goes there, and is subject to policies', async () => {
    const decision = await inbound({});
    assert.deepEqual([decision.allowed, decision.handover], [true, null]);
    const denial = policy('deny', { scope: 'global' }, { principals: [{ kind: 'suffix', value: '/sa/client' }] });
    assert.equal((await inbound({}, { policies: [denial] })).reason, 'policy_denied');
  });

  test('for what a waypoint stands before is refused', async () => {
    const decision = await inbound({ destination: '10.96.0.1', port: 80 });
    assert.deepEqual([decision.reason, decision.handover], ['not_this_waypoint', null]);
  });
});

test('a gateway that goes past a required waypoint is refused like any client', async () => {
  const edge = workload('edge', { addresses: ['10.1.0.5'], applicationTunnel: { ...proxy, gateway: true } });
  const server = workload('server', { node: NODE, addresses: ['10.1.0.2'], waypoint: required });
  const parts = { workloads: [server, envoy, edge], services: [gateway], localPods: [localPod(server)] };
  const asked = { peer: identity(edge), source: '10.1.0.5' };
  assert.equal(decideInbound(await storeOf(parts), inboundQuestion(asked)).reason, 'not_through_waypoint');
});
