import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LivePods } from '../../../src/control/certificates/live-pods.ts';
import type { Workload } from '../../../src/model/workload.ts';
import { NODE, workload } from '../../support/mesh-builders.ts';

const web = workload('web', { node: NODE });
const id = { trustDomain: 'cluster.local', namespace: 'default', serviceAccount: 'web' };

function runs(...workloads: readonly Workload[]): boolean {
  const pods = new LivePods();
  for (const after of workloads) update(pods, null, after);
  return pods.runsOn(NODE, id);
}

function update(pods: LivePods, before: Workload | null, after: Workload | null): void {
  const steps = pods.update([{ key: (after ?? before)?.uid ?? '', before, after }]);
  while (steps.next().done !== true);
}

test('a pod of the mesh runs on its node, and on no other', () => {
  assert.ok(runs(web));
  assert.ok(!runs({ ...web, node: 'elsewhere' }));
});

for (const [what, changed] of [
  ['of the host network', { hostNetwork: true }],
  ['outside the mesh', { protocol: 'tcp' }],
  ['that is no pod', { podUid: null }],
  ['of another trust domain', { trustDomain: 'other.org' }],
] satisfies readonly (readonly [string, Partial<Workload>])[]) {
  test(`a workload ${what} has no identity to give`, () => {
    assert.ok(!runs({ ...web, ...changed }));
  });
}

test('the answer follows what changes', () => {
  const pods = new LivePods();
  update(pods, null, web);
  assert.deepEqual(pods.identityOf(NODE, 'default/web'), id);
  const moved = { ...web, node: 'elsewhere' };
  update(pods, web, moved);
  assert.equal(pods.identityOf(NODE, 'default/web'), null);
  assert.ok(!pods.runsOn(NODE, id));
  assert.ok(pods.runsOn('elsewhere', id));
  update(pods, moved, null);
  assert.ok(!pods.runs(id));
});

test('an identity runs as long as one of its pods does', () => {
  const pods = new LivePods();
  const second = { ...web, uid: 'Kubernetes//Pod/default/second', name: 'second' };
  update(pods, null, web);
  update(pods, null, second);
  update(pods, web, null);
  assert.ok(pods.runsOn(NODE, id));
  update(pods, second, { ...second, protocol: 'tcp' });
  assert.ok(!pods.runs(id));
});
