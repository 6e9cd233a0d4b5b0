import assert from 'node:assert/strict';
import { test } from 'node:test';
import { livePods } from '../../../src/control/certificates/live-pods.ts';
import type { Workload } from '../../../src/model/workload.ts';
import { NODE, workload } from '../../support/mesh-builders.ts';

const web = workload('web', { node: NODE });
const id = { trustDomain: 'cluster.local', namespace: 'default', serviceAccount: 'web' };

function runs(...workloads: readonly Workload[]): boolean {
  return livePods(() => new Map(workloads.map((value) => [value.uid, value]))).runsOn(NODE, id);
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

test('the answer follows the state', () => {
  let state: ReadonlyMap<string, Workload> = new Map([[web.uid, web]]);
  const pods = livePods(() => state);
  assert.deepEqual(pods.identityOf(NODE, 'default/web'), id);
  state = new Map();
  assert.equal(pods.identityOf(NODE, 'default/web'), null);
  assert.ok(!pods.runs(id));
});
