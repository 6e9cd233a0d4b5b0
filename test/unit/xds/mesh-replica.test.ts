import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LocalPod, Workload } from '../../../src/model/workload.ts';
import type { InboundQuestion } from '../../../src/native/binding.ts';
import { decideInbound } from '../../../src/ztunnel/inbound.ts';
import { differenceOf } from '../../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../../src/ztunnel/workload-store.ts';
import { MeshReplica } from '../../../src/xds/mesh-replica.ts';
import type { ResourceChanges } from '../../../src/xds/delta-session.ts';
import { localPod, meshSettings, meshState, NODE, workload } from '../../support/mesh-builders.ts';

const web = workload('web', { addresses: ['10.0.0.1'], authorizationPolicies: ['shop/of-the-node'] });
const told = workload('web', { addresses: ['10.0.0.1'], authorizationPolicies: ['shop/told'] });
const pod = localPod(web);

const question: InboundQuestion = {
  ...{
    kind: 'inbound',
    id: 1,
    pod: pod.uid,
    peer: 'spiffe://cluster.local/ns/shop/sa/client',
    transport: 'mutual_tls',
  },
  ...{ source: '10.0.0.9', destination: '10.0.0.1', port: 80 },
};

function upsert(value: Workload): ResourceChanges {
  return { upserts: [{ kind: 'workload', key: value.uid, value }], removals: [] };
}

function removal(key: string): ResourceChanges {
  return { upserts: [], removals: [{ kind: 'workload', key }] };
}

function named(...pods: readonly LocalPod[]): Parameters<MeshReplica['setNodePods']>[0] {
  return {
    pods: new Map(pods.map((one) => [one.uid, one])),
    workloads: new Map(pods.map((one) => [one.workload, web])),
    conditions: [],
  };
}

describe('a pod that its node knows by itself', () => {
  test('has a workload before the control plane tells of it, and nothing may reach it', async () => {
    const replica = new MeshReplica(meshSettings());
    replica.setNodePods(named(pod));
    const stored = replica.state.workloads.get(web.uid);
    assert.equal(stored?.serviceAccount, 'web');
    const store = new WorkloadStore(NODE, meshState());
    store.commit(await differenceOf(meshState(), replica.state));
    const { allowed, reason } = decideInbound(store, question);
    assert.deepEqual([allowed, reason], [false, 'policy_unknown']);
  });

  test('is what the control plane says, once it says it', () => {
    const replica = new MeshReplica(meshSettings());
    replica.setNodePods(named(pod));
    const { workloads } = replica.apply(upsert(told));
    assert.deepEqual(
      workloads.map(({ after }) => after?.authorizationPolicies),
      [['shop/told']],
    );
    assert.deepEqual(replica.setNodePods(named(pod)).workloads, []);
  });

  test('stays closed to others when the control plane takes it back', () => {
    const replica = new MeshReplica(meshSettings());
    replica.setNodePods(named(pod));
    replica.apply(upsert(told));
    replica.apply(removal(told.uid));
    const left = replica.state.workloads.get(web.uid)?.authorizationPolicies ?? [];
    assert.deepEqual([left.length, left.includes('shop/told')], [1, false]);
  });

  test('leaves nothing behind when it goes', () => {
    const replica = new MeshReplica(meshSettings());
    replica.setNodePods(named(pod));
    replica.setNodePods(named());
    assert.deepEqual([replica.state.workloads.size, replica.state.localPods.size], [0, 0]);
  });

  test('takes nothing away that the control plane has told', () => {
    const replica = new MeshReplica(meshSettings());
    replica.setNodePods(named(pod));
    replica.apply(upsert(told));
    replica.setNodePods(named());
    assert.deepEqual([...replica.state.workloads.keys()], [told.uid]);
  });
});

describe('a pod of a node that knows no Gateways', () => {
  const proxied = workload('web', { addresses: ['10.0.0.1'], applicationTunnel: { protocol: 'proxy', port: 15088 } });

  function isWaypoint(replica: MeshReplica): boolean | undefined {
    return replica.state.localPods.get(pod.uid)?.handover;
  }

  test('becomes a waypoint when the control plane says so, and ceases to be one', () => {
    const replica = new MeshReplica(meshSettings());
    replica.setNodePods(named(pod));
    assert.equal(isWaypoint(replica), false);
    const { localPods } = replica.apply(upsert(proxied));
    assert.deepEqual(
      localPods.map(({ key, after }) => [key, after?.handover]),
      [[pod.uid, true]],
    );
    replica.apply(upsert(told));
    assert.equal(isWaypoint(replica), false);
  });

  test('is one from the start where that is known already', () => {
    const replica = new MeshReplica(meshSettings());
    replica.apply(upsert(proxied));
    replica.setNodePods(named(pod));
    assert.equal(isWaypoint(replica), true);
  });

  test('is a gateway where the control plane says so, and takes plain connections itself', () => {
    const replica = new MeshReplica(meshSettings());
    replica.setNodePods(named(pod));
    const tunnel = { protocol: 'proxy', port: 15088, gateway: true } as const;
    replica.apply(upsert({ ...proxied, applicationTunnel: tunnel }));
    const { handover, bypassInbound } = replica.state.localPods.get(pod.uid) ?? {};
    assert.deepEqual([handover, bypassInbound], [true, true]);
    replica.apply(upsert(proxied));
    assert.equal(replica.state.localPods.get(pod.uid)?.bypassInbound, false);
    assert.equal(isWaypoint(replica), true);
  });

  test('is none for a tunnel to another port', () => {
    const replica = new MeshReplica(meshSettings());
    replica.setNodePods(named(pod));
    replica.apply(upsert({ ...proxied, applicationTunnel: { protocol: 'proxy', port: 8080 } }));
    assert.equal(isWaypoint(replica), false);
  });
});
