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

async function start(
  context: TestContext,
  conditions: readonly ApiCondition[] = [],
  pathOf: (kind: string) => string | null = () => null,
) {
  const cluster = await startFakeCluster(context);
  const { server, timers, objects } = cluster;
  objects.objects.set(path, { metadata: { name: 'p', generation: 7 }, status: { conditions } } as never);
  const failures: string[] = [];
  const writer = new StatusWriter({
    ...cluster,
    random: () => 0.5,
    pathOf,
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

test('what is so of one parent of a route alone is a condition of its own', () => {
  const route = 'HTTPRoute shop/web';
  const parent = 'Gateway shop/front';
  const met = { resource: route, type: 'Accepted', reason: 'Accepted', message: 'attached', parent };
  const wrong = { resource: route, type: 'Accepted', reason: 'UnsupportedValue', message: 'x' };
  const refused = { ...met, reason: 'NotAllowedByListeners', message: 'no', parent: 'Gateway shop/other' };
  const conditions = apiConditions(new Map([[route, 'Accepted']]), [wrong, refused], [met]).get(route);
  assert.deepEqual(
    conditions?.map((condition) => `${condition.status} ${condition.message} ${condition.parent ?? ''}`.trim()),
    ['False x', `True attached ${parent}`, 'False no Gateway shop/other'],
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

test('what has what it asks for says so, unless something is to be said against it', () => {
  const service = 'Service shop/web';
  const type = 'istio.io/WaypointBound';
  const met = { resource: service, type, reason: 'WaypointAccepted', message: 'through it' };
  const [[, conditions] = []] = [...apiConditions(new Map(), [], [met])];
  assert.deepEqual(conditions, [{ type, status: 'True', reason: 'WaypointAccepted', message: 'through it' }]);
  const against = { resource: service, type, reason: 'WaypointIsNotReady', message: 'no pod' };
  const [[, others] = []] = [...apiConditions(new Map(), [against], [met])];
  assert.deepEqual(others, [{ type, status: 'False', reason: 'WaypointIsNotReady', message: 'no pod' }]);
});

test('takes back what is not said any more, and only from where it stands', async (context) => {
  const bound = { type: 'istio.io/WaypointBound', status: 'True', reason: 'WaypointAccepted', message: 'm' } as const;
  const { writer, writes, worked, timers } = await start(context, [bound]);
  writer.update(new Map([[resource, [bound]]]));
  await worked();
  assert.equal(writes().length, 0);
  timers.advance(50);
  writer.update(new Map());
  await waitFor(() => writes().length === 1, fast);
  const { status } = writes()[0]?.body as { readonly status: { readonly conditions: readonly unknown[] } };
  assert.deepEqual(status.conditions, []);
});

test('takes back what a former leader has said of objects that ask for nothing any more', async (context) => {
  const services = '/api/v1/services';
  const bound = { type: 'istio.io/WaypointBound', status: 'False', reason: 'WaypointIsNotReady', message: 'm' };
  const { writer, writes, server, objects, timers } = await start(context);
  for (const [name, conditions] of [
    ['web', [bound]],
    ['kept', [bound]],
    ['other', [{ ...bound, type: 'LoadBalancerReady' }]],
  ] as const) {
    server.put(services, name, { status: { conditions } }, 'shop');
    objects.objects.set(`/api/v1/namespaces/shop/services/${name}`, {
      metadata: { name },
      status: { conditions },
    } as never);
  }
  writer.update(new Map([['Service shop/kept', [bound as ApiCondition]]]));
  await writer.takeBack(new AbortController().signal);
  await waitFor(() => {
    timers.advance(50);
    return writes().length === 1;
  }, fast);
  assert.equal(writes()[0]?.path, '/api/v1/namespaces/shop/services/web/status');
});

test('writes in the version that the API server serves', async (context) => {
  const { objects, writer, writes, worked } = await start(context, [], () => `${old}/tcproutes`);
  const route = `${old}/namespaces/shop/tcproutes/r`;
  const spec = { parentRefs: [{ group: '', kind: 'Service', name: 'web' }] };
  objects.objects.set(route, { metadata: { name: 'r' }, spec } as never);
  writer.update(apiConditions(new Map([['TCPRoute shop/r', 'Accepted']]), []));
  await worked();
  assert.equal(writes()[0]?.path, `${route}/status`);
});

const old = '/apis/gateway.networking.k8s.io/v1alpha2';
