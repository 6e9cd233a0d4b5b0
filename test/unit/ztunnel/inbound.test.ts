import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { InboundQuestion } from '../../../src/native/binding.ts';
import { decideInbound } from '../../../src/ztunnel/inbound.ts';
import { differenceOf } from '../../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../../src/ztunnel/workload-store.ts';
import {
  NODE,
  identity,
  localPod,
  meshState,
  policy,
  service,
  serviceKey,
  workload,
} from '../../support/mesh-builders.ts';
import type { StateParts } from '../../support/mesh-builders.ts';

const client = workload('client', { addresses: ['10.1.0.1'] });
const server = workload('server', { node: NODE, addresses: ['10.1.0.2'] });

async function storeOf(parts: StateParts = {}): Promise<WorkloadStore> {
  const store = new WorkloadStore(NODE, meshState());
  const state = meshState({ workloads: [client, server], localPods: [localPod(server)], ...parts });
  store.commit(await differenceOf(meshState(), state));
  return store;
}

const question = (overrides: Partial<InboundQuestion> = {}): InboundQuestion => ({
  kind: 'inbound',
  id: 1,
  pod: 'uid-server',
  peer: identity(client),
  source: '10.1.0.1',
  destination: '10.1.0.2',
  port: 8080,
  transport: 'mutual_tls',
  ...overrides,
});

const strict = policy('strict', { scope: 'global' }, { notPrincipals: [{ kind: 'presence' }] });

suite('inbound decisions', () => {
  test('a pod that is not known is denied', async () => {
    const decision = decideInbound(await storeOf(), question({ pod: 'nobody' }));
    assert.equal(decision.allowed, false);
    assert.equal(decision.reason, 'unknown_destination');
  });

  test('without policies everyone is let in', async () => {
    assert.equal(decideInbound(await storeOf(), question()).allowed, true);
  });

  test('a peer whose identity is none is denied', async () => {
    const decision = decideInbound(await storeOf(), question({ peer: 'spiffe://cluster.local/client' }));
    assert.equal(decision.reason, 'invalid_peer');
  });

  test('a mesh-wide policy that asks for an identity refuses plaintext and names itself', async () => {
    const store = await storeOf({ policies: [strict] });
    const decision = decideInbound(store, question({ peer: null, transport: 'plaintext' }));
    assert.equal(decision.allowed, false);
    assert.equal(decision.policy, 'default/strict');
    assert.equal(decision.reason, 'policy_denied');
    assert.equal(decideInbound(store, question()).allowed, true);
  });

  test('a policy of another namespace does not apply', async () => {
    const store = await storeOf({ policies: [{ ...strict, scope: 'namespace', namespace: 'other' }] });
    assert.equal(decideInbound(store, question({ peer: null })).allowed, true);
  });

  test('a selector policy applies to the workload that names it only', async () => {
    const selected = { ...strict, scope: 'workload-selector' as const };
    const named = { ...server, authorizationPolicies: ['default/strict'] };
    const without = await storeOf({ policies: [selected] });
    const withIt = await storeOf({ policies: [selected], workloads: [client, named] });
    assert.equal(decideInbound(without, question({ peer: null })).allowed, true);
    assert.equal(decideInbound(withIt, question({ peer: null })).allowed, false);
  });

  test('a policy that is named and not known yet denies', async () => {
    const named = { ...server, authorizationPolicies: ['default/coming'] };
    const decision = decideInbound(await storeOf({ workloads: [client, named] }), question());
    assert.equal(decision.allowed, false);
    assert.equal(decision.policy, 'default/coming');
    assert.equal(decision.reason, 'policy_unknown');
  });

  test('the source is named if its address and its identity agree', async () => {
    assert.equal(decideInbound(await storeOf(), question()).sourceWorkload?.uid, client.uid);
  });

  test('the source is not named if another identity comes from its address', async () => {
    assert.equal(decideInbound(await storeOf(), question({ peer: identity(server) })).sourceWorkload, null);
  });

  test('a plaintext source is named by its address', async () => {
    const decision = decideInbound(await storeOf(), question({ peer: null, transport: 'plaintext' }));
    assert.equal(decision.sourceWorkload?.uid, client.uid);
  });

  test('a service is named whose endpoint the pod is at that port', async () => {
    const key = serviceKey(service('s'));
    const endpoint = { ...server, services: new Map([[key, new Map([[80, 8080]])]]) };
    const store = await storeOf({ workloads: [client, endpoint], services: [service('s')] });
    assert.equal(decideInbound(store, question()).service, key);
    assert.equal(decideInbound(store, question({ port: 9090 })).service, null);
  });
});

suite('what an inbound answer holds for', () => {
  test('all ports, all of the pod’s addresses and the hole around an unknown source, if no policy looks at them', async () => {
    const { mask } = decideInbound(await storeOf(), question({ source: '192.0.2.1' }));
    assert.deepEqual(mask, { prefixLength: 1, anyPort: true, anyDestination: true });
  });

  test('the one address of a known source', async () => {
    assert.equal(decideInbound(await storeOf(), question()).mask.prefixLength, 32);
  });

  test('the one port, if a policy looked at ports', async () => {
    const store = await storeOf({ policies: [policy('p', {}, { destinationPorts: [8080] })] });
    assert.equal(decideInbound(store, question()).mask.anyPort, false);
  });

  test('the one port, if it decides which service is named', async () => {
    const endpoint = { ...server, services: new Map([[serviceKey(service('s')), new Map([[80, 8080]])]]) };
    const store = await storeOf({ workloads: [client, endpoint], services: [service('s')] });
    assert.equal(decideInbound(store, question()).mask.anyPort, false);
  });

  test('the one address of the pod, if a policy looked at it', async () => {
    const store = await storeOf({ policies: [policy('p', {}, { destinationIps: ['10.1.0.0/16'] })] });
    assert.equal(decideInbound(store, question()).mask.anyDestination, false);
  });

  test('the block of a policy that the source lies in', async () => {
    const store = await storeOf({ policies: [policy('p', {}, { sourceIps: ['192.0.2.0/24'] })] });
    assert.equal(decideInbound(store, question({ source: '192.0.2.1' })).mask.prefixLength, 24);
  });

  test('as much of the address as keeps it apart from a block that it lies outside of', async () => {
    const store = await storeOf({ policies: [policy('p', {}, { sourceIps: ['192.0.2.0/24'] })] });
    // 192.0.3.1 parts from 192.0.2.0 at bit 24.
    assert.equal(decideInbound(store, question({ source: '192.0.3.1' })).mask.prefixLength, 24);
    assert.equal(decideInbound(store, question({ source: '193.0.0.1' })).mask.prefixLength, 8);
  });
});
