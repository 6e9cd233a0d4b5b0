import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LivePods } from '../../../src/control/certificates/live-pods.ts';
import type { NodePod } from '../../../src/model/workload.ts';
import { NODE } from '../../support/mesh-builders.ts';

const id = { trustDomain: 'cluster.local', namespace: 'default', serviceAccount: 'web' };
const web: NodePod = {
  uid: 'uid-web',
  node: NODE,
  namespace: 'default',
  name: 'web',
  identity: id,
  wanted: true,
  handover: false,
};

function runs(...pods: readonly NodePod[]): boolean {
  const live = new LivePods();
  for (const after of pods) update(live, null, after);
  return live.runsOn(NODE, id);
}

function update(live: LivePods, before: NodePod | null, after: NodePod | null): void {
  const steps = live.update([{ key: 'default/web', before, after }]);
  while (steps.next().done !== true);
}

test('a pod of the mesh runs on its node, and on no other', () => {
  assert.ok(runs(web));
  assert.ok(!runs({ ...web, node: 'elsewhere' }));
});

for (const [what, changed] of [
  ['outside the mesh', { wanted: false }],
  ['of another trust domain', { identity: { ...id, trustDomain: 'other.org' } }],
] satisfies readonly (readonly [string, Partial<NodePod>])[]) {
  test(`a pod ${what} has no identity to give`, () => {
    assert.ok(!runs({ ...web, ...changed }));
  });
}

test('an identity is a waypoint’s while some waypoint runs as it', () => {
  const live = new LivePods();
  update(live, null, web);
  assert.ok(!live.isWaypoint(id));
  const waypoint = { ...web, handover: true };
  update(live, web, waypoint);
  assert.ok(live.isWaypoint(id));
  update(live, waypoint, null);
  assert.ok(!live.isWaypoint(id));
});

test('a pod is found by its UID, in the mesh or not', () => {
  const live = new LivePods();
  const outside = { ...web, wanted: false };
  update(live, null, outside);
  assert.deepEqual(live.withUid('uid-web'), outside);
  update(live, outside, null);
  assert.equal(live.withUid('uid-web'), null);
});

test('the answer follows what changes', () => {
  const live = new LivePods();
  update(live, null, web);
  assert.deepEqual(live.identityOf(NODE, 'default/web'), id);
  const moved = { ...web, node: 'elsewhere' };
  update(live, web, moved);
  assert.equal(live.identityOf(NODE, 'default/web'), null);
  assert.ok(!live.runsOn(NODE, id));
  assert.ok(live.runsOn('elsewhere', id));
  update(live, moved, null);
  assert.ok(!live.runs(id));
});

test('an identity runs as long as one of its pods does', () => {
  const live = new LivePods();
  const second = { ...web, uid: 'uid-second', name: 'second' };
  update(live, null, web);
  update(live, null, second);
  update(live, web, null);
  assert.ok(live.runsOn(NODE, id));
  update(live, second, { ...second, wanted: false });
  assert.ok(!live.runs(id));
});
