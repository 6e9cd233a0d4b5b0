import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import {
  controlBatch,
  controlWiringBatch,
  managementBatch,
  nodeBatch,
  ownerOf,
  planTopology,
  runId,
  wiringBatch,
} from '../../support/topology.ts';

const options = { nodes: 2, pods: { client: 0, server: 0, remote: 1 }, prefix: '10.77', congestionControl: 'reno' };

describe('plan of a rig', () => {
  const plan = planTopology(runId(4711, 1), options);

  it('gives every pod addresses of its own', () => {
    const addresses = plan.pods.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]);
    assert.deepEqual(addresses, [
      '10.77.1.10',
      'fd77:0:0:1::a',
      '10.77.1.11',
      'fd77:0:0:1::b',
      '10.77.2.10',
      'fd77:0:0:2::a',
    ]);
  });

  it('keeps what exists where it is when a pod is added', () => {
    const larger = planTopology(plan.run, { ...options, pods: { ...options.pods, late: 0 } });
    assert.deepEqual(larger.pods.slice(0, 3), plan.pods);
  });

  it('puts the owner into every namespace name', () => {
    for (const { netns } of [...plan.nodes, ...plan.pods, plan.control]) assert.equal(ownerOf(netns), 4711);
  });

  it('takes no other namespace for its own', () => {
    assert.equal(ownerOf('cni-4711-1-one'), null);
    assert.equal(ownerOf('ambit-rx-1-one'), null);
  });

  it('names no interface longer than the kernel allows', () => {
    const names = [...wiringBatch(plan), ...controlWiringBatch(plan)].flatMap((line) =>
      [...line.matchAll(/(?:add|name) (\S+)/g)].map(([, name]) => name),
    );
    for (const name of names.filter((name) => name !== undefined && !name.startsWith('ambit-'))) {
      assert.ok((name ?? '').length <= 15, name);
    }
  });

  it('routes each node to the pods of the other', () => {
    const [one] = plan.nodes;
    assert.ok(one);
    assert.ok(nodeBatch(one, plan).includes('route add 10.77.2.0/24 via 10.77.0.2'));
    assert.ok(nodeBatch(one, plan).includes('route add fd77:0:0:2::/64 via fd77::2'));
  });

  it('wires the control plane to each node, and to no pod', () => {
    assert.deepEqual(controlWiringBatch(plan).slice(1), [
      'link add mgmt0 netns ambit-r4711-1-one type veth peer name node0 netns ambit-r4711-1-control-plane',
      'link add mgmt0 netns ambit-r4711-1-two type veth peer name node1 netns ambit-r4711-1-control-plane',
    ]);
    assert.ok(controlBatch(plan).includes('addr add 10.77.254.1/24 dev mgmt0'));
    const management = plan.nodes.flatMap((node) => managementBatch(node)).filter((line) => line.startsWith('addr'));
    assert.deepEqual(management, ['addr add 10.77.254.2/24 dev mgmt0', 'addr add 10.77.254.3/24 dev mgmt0']);
  });

  it('refuses a pod whose namespace would be that of a node or of the control plane', () => {
    assert.throws(() => planTopology('r1-1', { ...options, pods: { two: 0 } }), /cannot be named two/);
    const pods = { 'control-plane': 0 };
    assert.throws(() => planTopology('r1-1', { ...options, pods }), /cannot be named control-plane/);
  });

  it('refuses a pod on a node that is not there', () => {
    assert.throws(() => planTopology('r1-1', { ...options, pods: { lost: 2 } }), /there is no node 2/);
  });
});
