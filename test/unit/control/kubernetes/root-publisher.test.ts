import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { rootConfigMap, RootPublisher } from '../../../../src/control/kubernetes/root-publisher.ts';
import { quietObserver, startFakeCluster } from '../../../support/kube/fake-cluster.ts';
import { waitFor } from '../../../support/wait.ts';

const namespaces = '/api/v1/namespaces';
const configMaps = '/api/v1/configmaps';
const fast = { interval: 2, timeout: 5000 };

async function start(context: TestContext) {
  const cluster = await startFakeCluster(context);
  const { server } = cluster;
  server.define(namespaces);
  server.define(configMaps);
  server.onWrite = ({ path, body }) => {
    const namespace = path.split('/')[4] ?? '';
    server.put(configMaps, rootConfigMap, { data: (body as { data: unknown }).data }, namespace);
    return { status: 200, body: {} };
  };
  const abort = new AbortController();
  const publisher = new RootPublisher({
    ...cluster,
    roots: 'PEM',
    random: () => 0.5,
    observe: quietObserver,
    onFailure: () => undefined,
  });
  let running: Promise<void> = Promise.resolve();
  context.after(async () => {
    abort.abort();
    await running;
  });
  const written = (): readonly string[] =>
    server.requests.filter(({ kind }) => kind === 'write').map(({ path }) => path.split('/')[4] ?? '');
  return { ...cluster, written, run: () => (running = publisher.run(abort.signal)) };
}

async function watching({ server }: { readonly server: { readonly openWatches: number } }): Promise<void> {
  await waitFor(() => server.openWatches === 2, fast);
}

test('writes the roots into every namespace but those of no use', async (context) => {
  const cluster = await start(context);
  for (const name of ['default', 'shop', 'kube-public']) cluster.server.put(namespaces, name);
  void cluster.run();
  await waitFor(() => cluster.written().length === 2, fast);
  assert.deepEqual([...cluster.written()].sort(), ['default', 'shop']);
  assert.equal(
    cluster.server.requests.find(({ kind }) => kind === 'write')?.contentType,
    'application/apply-patch+yaml',
  );
});

test('writes into a new namespace, and again what somebody changed or removed', async (context) => {
  const cluster = await start(context);
  void cluster.run();
  await watching(cluster);
  cluster.server.put(namespaces, 'shop');
  await waitFor(() => cluster.written().length === 1, fast);
  cluster.server.put(configMaps, rootConfigMap, { data: { 'root-cert.pem': 'other' } }, 'shop');
  await waitFor(() => cluster.written().length === 2, fast);
  cluster.server.remove(configMaps, `shop/${rootConfigMap}`);
  await waitFor(() => cluster.written().length === 3, fast);
});

test('writes nothing where the roots are right already', async (context) => {
  const cluster = await start(context);
  cluster.server.put(namespaces, 'shop');
  cluster.server.put(namespaces, 'new');
  cluster.server.put(configMaps, rootConfigMap, { data: { 'root-cert.pem': 'PEM' } }, 'shop');
  void cluster.run();
  await waitFor(() => cluster.written().length > 0, fast);
  await watching(cluster);
  assert.deepEqual(cluster.written(), ['new']);
});

test('tries again after a refusal', async (context) => {
  const cluster = await start(context);
  cluster.server.put(namespaces, 'shop');
  cluster.server.fault('write', { kind: 'status', status: 500 });
  void cluster.run();
  await waitFor(() => cluster.timers.waits.includes(200), fast);
  cluster.timers.advance(200);
  await waitFor(() => cluster.written().length === 2, fast);
});
