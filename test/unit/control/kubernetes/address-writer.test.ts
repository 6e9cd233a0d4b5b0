import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { serviceEntrySchema } from '../../../../src/config/manifests/schemas/service-entry.ts';
import type { ServiceEntryDocument } from '../../../../src/config/manifests/schemas/service-entry.ts';
import { AddressWriter } from '../../../../src/control/kubernetes/address-writer.ts';
import { startFakeCluster } from '../../../support/kube/fake-cluster.ts';
import { waitFor } from '../../../support/wait.ts';

const path = '/apis/networking.istio.io/v1/namespaces/shop/serviceentries/api';
const fast = { interval: 2, timeout: 5000 };
type Addresses = readonly { readonly host: string; readonly value: string }[];

function entry(change: { readonly spec?: object; readonly addresses?: Addresses } = {}): ServiceEntryDocument {
  return serviceEntrySchema.parse({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'api', namespace: 'shop' },
    spec: { hosts: ['api.example.com'], resolution: 'DNS', ...change.spec },
    status: { addresses: change.addresses ?? [] },
  });
}

async function start(context: TestContext) {
  const cluster = await startFakeCluster(context);
  const { server, objects } = cluster;
  objects.objects.set(path, { metadata: { name: 'api', generation: 1 } } as never);
  const entries = new Map<string, ServiceEntryDocument>();
  const failures: string[] = [];
  const writer = new AddressWriter({
    ...cluster,
    entries: () => entries,
    random: () => 0.5,
    onFailure: (name) => failures.push(name),
  });
  const writes = () => server.requests.filter(({ kind }) => kind === 'write');
  const look = async (document: ServiceEntryDocument, count: number): Promise<void> => {
    entries.set('shop/api', document);
    writer.look();
    await waitFor(() => writes().length >= count, fast);
  };
  const lastStatus = () => (writes().at(-1)?.body as { status: { addresses?: Addresses } } | undefined)?.status;
  return { ...cluster, look, writes, lastStatus, failures };
}

test('addresses are applied to the status, by a manager of their own', async (context) => {
  const { look, writes, lastStatus } = await start(context);
  await look(entry(), 1);
  const [write] = writes();
  assert.deepEqual([write?.path, write?.query['fieldManager']], [`${path}/status`, 'ambit-addresses']);
  const addresses = lastStatus()?.addresses ?? [];
  assert.deepEqual(
    addresses.map(({ host }) => host),
    ['api.example.com', 'api.example.com'],
  );
});

test('what stands there already is not written again', async (context) => {
  const { look, writes, lastStatus } = await start(context);
  await look(entry(), 1);
  const addresses = lastStatus()?.addresses ?? [];
  await look(entry({ addresses }), 1);
  await look(entry({ addresses, spec: { exportTo: ['.'] } }), 1);
  assert.equal(writes().length, 1);
});

test('addresses that nobody would have chosen are replaced', async (context) => {
  const { look, lastStatus } = await start(context);
  await look(entry({ addresses: [{ host: 'api.example.com', value: '10.96.0.1' }] }), 1);
  assert.doesNotMatch(JSON.stringify(lastStatus()), /10\.96\.0\.1/);
});

test('an entry that has its own is let go of, once', async (context) => {
  const { look, writes, lastStatus } = await start(context);
  await look(entry(), 1);
  const addresses = lastStatus()?.addresses ?? [];
  await look(entry({ addresses, spec: { addresses: ['192.0.2.1'] } }), 2);
  assert.deepEqual(lastStatus(), {});
  await waitFor(() => writes().length === 2, fast);
  await look(entry({ addresses, spec: { addresses: ['192.0.2.2'] } }), 2);
  assert.equal(writes().length, 2);
});
