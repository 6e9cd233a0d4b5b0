import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { apiConditions, StatusWriter } from '../../../../src/control/kubernetes/status-writer.ts';
import type { ApiCondition } from '../../../../src/control/kubernetes/status-writer.ts';
import { startFakeCluster } from '../../../support/kube/fake-cluster.ts';
import { waitFor } from '../../../support/wait.ts';

const path = '/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/p';
const resource = 'AuthorizationPolicy shop/p';
const accepted = new Map([[resource, 'ZtunnelAccepted']]);
const note = { resource, type: 'ZtunnelAccepted', reason: 'PartiallyInvalid', message: 'one' };
const fast = { interval: 2, timeout: 5000 };

async function start(context: TestContext, conditions: readonly ApiCondition[] = []) {
  const cluster = await startFakeCluster(context);
  const { server, timers, objects } = cluster;
  objects.objects.set(path, { metadata: { name: 'p', generation: 7 }, status: { conditions } } as never);
  const failures: string[] = [];
  const writer = new StatusWriter({
    ...cluster,
    random: () => 0.5,
    onWritten: () => undefined,
    onFailure: (failed) => failures.push(failed),
  });
  context.after(() => writer.stop());
  const writes = () => server.requests.filter(({ kind }) => kind === 'write');
  const reads = () => server.requests.filter(({ kind }) => kind === 'list');
  /** Until the pause after a piece of work. */
  const worked = () => waitFor(() => timers.waits.includes(50), fast);
  return { ...cluster, writer, writes, reads, worked, failures };
}

test('an object without a note is accepted, and its notes of one type are one condition', () => {
  const second = { ...note, reason: 'Other', message: 'two' };
  const other = { ...note, resource: 'Pod shop/x' };
  assert.deepEqual(
    [...apiConditions(accepted, [])],
    [
      [
        resource,
        [{ type: 'ZtunnelAccepted', status: 'True', reason: 'Accepted', message: 'in force as it is written' }],
      ],
    ],
  );
  assert.deepEqual(
    [...apiConditions(accepted, [note, second, other])],
    [[resource, [{ type: 'ZtunnelAccepted', status: 'False', reason: 'PartiallyInvalid', message: 'one; two' }]]],
  );
});

test('applies the conditions of an object to its status', async (context) => {
  const { writer, writes, worked } = await start(context);
  writer.update(apiConditions(accepted, [note]));
  await worked();
  const [write] = writes();
  assert.equal(write?.path, `${path}/status`);
  assert.equal(write.query['fieldManager'], 'ambit-control');
  const { metadata, status } = write.body as {
    readonly metadata: unknown;
    readonly status: { readonly conditions: readonly ApiCondition[] };
  };
  assert.deepEqual(metadata, { name: 'p', namespace: 'shop' });
  const [condition] = status.conditions;
  assert.equal(condition?.observedGeneration, 7);
  assert.match(condition.lastTransitionTime ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
});

test('writes nothing where the object says it already', async (context) => {
  const [[, conditions] = []] = [...apiConditions(accepted, [note])];
  const { writer, writes, reads, worked } = await start(context, conditions);
  writer.update(apiConditions(accepted, [note]));
  await worked();
  assert.equal(reads().length, 1);
  assert.equal(writes().length, 0);
});

test('keeps the time of a condition whose status stays', async (context) => {
  const since = '2020-01-01T00:00:00Z';
  const { writer, writes, worked } = await start(context, [
    { type: 'ZtunnelAccepted', status: 'False', reason: 'Old', message: 'old', lastTransitionTime: since },
  ]);
  writer.update(apiConditions(accepted, [note]));
  await worked();
  const { status } = writes()[0]?.body as { readonly status: { readonly conditions: readonly ApiCondition[] } };
  assert.equal(status.conditions[0]?.lastTransitionTime, since);
});

test('looks only at what is new, one object after the other, with time between them', async (context) => {
  const { writer, reads, worked, timers } = await start(context);
  const two = new Map([...accepted, ['AuthorizationPolicy shop/q', 'ZtunnelAccepted']]);
  writer.update(apiConditions(two, []));
  await worked();
  assert.equal(reads().length, 1);
  timers.advance(50);
  await waitFor(() => reads().length === 2, fast);
  await worked();
  timers.advance(50);
  writer.update(apiConditions(two, []));
  writer.update(apiConditions(two, [note]));
  await waitFor(() => reads().length === 3, fast);
});

test('what is gone is left alone, and what fails is tried again', async (context) => {
  const { writer, writes, worked, timers, server, failures, objects } = await start(context);
  server.fault('write', { kind: 'status', status: 500 });
  writer.update(apiConditions(accepted, []));
  await waitFor(() => failures.length === 1, fast);
  timers.advance(200);
  await waitFor(() => writes().length === 2, fast);
  await worked();
  timers.advance(50);
  objects.objects.delete(path);
  writer.update(apiConditions(accepted, [note]));
  await worked();
  assert.equal(failures.length, 1);
  assert.equal(writes().length, 2);
});
