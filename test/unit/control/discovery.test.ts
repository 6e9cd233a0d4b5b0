import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { AddressSchema, WorkloadSchema } from '../../../src/proto/gen/istio/workload/workload_pb.ts';
import { typeUrls } from '../../../src/wds/names.ts';
import { DiscoveryHarness } from '../../support/discovery.ts';
import { localPod, meshState, NODE, policy, service, serviceKey, workload } from '../../support/mesh-builders.ts';
import { waitFor } from '../../support/wait.ts';

const web = service('web', { vips: ['10.1.0.1'] });
const webKey = serviceKey(web);
const inWeb = { services: new Map([[webKey, new Map([[80, 8080]])]]) };
const one = workload('one', { addresses: ['10.0.0.1'], ...inWeb });
const two = workload('two', { addresses: ['10.0.0.2'], ...inWeb });
const other = workload('other', { addresses: ['10.0.0.3'] });
const here = workload('here', { addresses: ['10.0.0.4'], node: NODE });
const mesh = meshState({ workloads: [one, two, other, here], services: [web] });
const typeUrl = typeUrls.address;

test('a wildcard gets everything, then what changes and what goes', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client();
  client.send({ typeUrl });
  const first = await client.response(0);
  assert.deepEqual(client.names(typeUrl), [one.uid, here.uid, other.uid, two.uid, webKey].sort());
  assert.equal(first.controlPlane?.identifier, 'ambit-control/test');
  const changed = workload('one', { addresses: ['10.0.0.1'], status: 'unhealthy' });
  await harness.set(meshState({ workloads: [changed, other, here], services: [web] }));
  const second = await client.response(1);
  assert.deepEqual(
    second.resources.map(({ name }) => name),
    [one.uid],
  );
  assert.deepEqual(second.removedResources, [two.uid]);
});

test('whoever comes back gets only what differs', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const before = harness.client();
  before.send({ typeUrl });
  await before.response(0);
  await harness.set(meshState({ workloads: [one, other, here], services: [service('web', { vips: ['10.1.0.9'] })] }));
  await before.response(1);
  const held = { ...Object.fromEntries(before.held.get(typeUrl) ?? []), [webKey]: 'old', gone: 'v' };
  const after = harness.client();
  after.send({ typeUrl, initialResourceVersions: held });
  const response = await after.response(0);
  assert.deepEqual(
    response.resources.map(({ name }) => name),
    [webKey],
  );
  assert.deepEqual(response.removedResources, ['gone']);
});

test('whoever comes back to an unchanged mesh is told so, and sent nothing', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const before = harness.client();
  before.send({ typeUrl });
  await before.response(0);
  const after = harness.client();
  after.send({ typeUrl, initialResourceVersions: Object.fromEntries(before.held.get(typeUrl) ?? []) });
  const response = await after.response(0);
  assert.equal(response.resources.length, 0);
  assert.equal(response.removedResources.length, 0);
});

test('on demand, only the workloads of the own node come unasked', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client();
  client.send({ typeUrl, resourceNamesSubscribe: ['*'], resourceNamesUnsubscribe: ['*'] });
  await client.response(0);
  assert.deepEqual(client.names(typeUrl), [here.uid]);
});

for (const [what, name, expected] of [
  ['a uid', other.uid, [other.uid]],
  ['an address', '/10.0.0.3', [other.uid]],
  ['a VIP, with its endpoints', '/10.1.0.1', [webKey, one.uid, two.uid]],
  ['a service, with its endpoints', webKey, [webKey, one.uid, two.uid]],
] as const) {
  test(`on demand, by ${what}`, async (context) => {
    const harness = await DiscoveryHarness.start(context, mesh);
    const client = harness.client();
    client.send({ typeUrl, resourceNamesSubscribe: [name] });
    await client.response(0);
    assert.deepEqual(client.names(typeUrl), [...expected, here.uid].sort());
  });
}

test('on demand, an endpoint that joins the service comes, and goes when it leaves', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client();
  client.send({ typeUrl, resourceNamesSubscribe: ['/10.1.0.1'] });
  await client.response(0);
  const joined = workload('other', { addresses: ['10.0.0.3'], ...inWeb });
  await harness.set(meshState({ workloads: [one, workload('two'), joined, here], services: [web] }));
  await waitFor(() => client.names(typeUrl).includes(other.uid), { interval: 2 });
  assert.deepEqual(client.names(typeUrl), [webKey, one.uid, other.uid, here.uid].sort());
});

test('on demand, a name that nobody has is answered by its absence, and comes when it appears', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client();
  client.send({ typeUrl, resourceNamesSubscribe: ['/10.0.0.99'] });
  assert.deepEqual((await client.response(0)).removedResources, ['/10.0.0.99']);
  const late = workload('late', { addresses: ['10.0.0.99'] });
  await harness.set(meshState({ workloads: [one, two, other, here, late], services: [web] }));
  assert.deepEqual(
    (await client.response(1)).resources.map(({ name }) => name),
    [late.uid],
  );
});

test('until a response is answered, what changes is gathered, and sent once', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client({ acknowledge: false });
  client.send({ typeUrl });
  const first = await client.response(0);
  for (const port of [1, 2, 3]) {
    await harness.set(
      meshState({ workloads: [one, two, other, here], services: [service('web', { ports: new Map([[80, port]]) })] }),
    );
  }
  // A request of another kind comes back at once, so whatever was on its way would be here by then.
  client.send({ typeUrl: typeUrls.authorization });
  await client.response(1);
  assert.equal(client.responses.filter((response) => response.typeUrl === typeUrl).length, 1);
  client.send({ typeUrl, responseNonce: first.nonce });
  const second = await client.response(2);
  const [resource] = second.resources;
  assert.equal(second.resources.length, 1);
  const address = fromBinary(AddressSchema, resource?.resource?.value ?? new Uint8Array());
  assert.equal(address.type.case, 'service');
  assert.equal(address.type.value.ports[0]?.targetPort, 3);
});

test('a stale nonce answers nothing', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client({ acknowledge: false });
  client.send({ typeUrl });
  await client.response(0);
  await harness.set(meshState({ workloads: [one] }));
  client.send({ typeUrl, responseNonce: 'another' });
  client.send({ typeUrl: typeUrls.authorization });
  await client.response(1);
  assert.equal(client.responses.filter((response) => response.typeUrl === typeUrl).length, 1);
});

test('a NACK is counted and shown, and the stream goes on', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client({ acknowledge: false });
  client.send({ typeUrl });
  const { nonce } = await client.response(0);
  client.send({ typeUrl, responseNonce: nonce, errorDetail: { code: 3, message: `${one.uid}: bad` } });
  await waitFor(() => harness.rejections.length === 1, { interval: 2 });
  assert.equal(harness.service.status()[0]?.types[0]?.rejection, `${one.uid}: bad`);
  await harness.set(meshState({ workloads: [one, two, other], services: [web] }));
  assert.deepEqual((await client.response(1)).removedResources, [here.uid]);
});

test('policies are a type of their own', async (context) => {
  const harness = await DiscoveryHarness.start(context, meshState({ policies: [policy('p', {}, {})] }));
  const client = harness.client();
  client.send({ typeUrl: typeUrls.authorization });
  await client.response(0);
  assert.deepEqual(client.names(typeUrls.authorization), ['default/p']);
});

test('old clients get workloads without the envelope', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client();
  client.send({ typeUrl: typeUrls.workload });
  const { resources } = await client.response(0);
  assert.equal(resources.length, 4);
  const read = fromBinary(
    WorkloadSchema,
    resources.find(({ name }) => name === one.uid)?.resource?.value ?? new Uint8Array(),
  );
  assert.equal(read.uid, one.uid);
});

test('settings and the pods of its own node go to a node that asks', async (context) => {
  const pods = [localPod(here), localPod(one)];
  const harness = await DiscoveryHarness.start(context, meshState({ workloads: [here, one], localPods: pods }));
  const client = harness.client();
  client.send({ typeUrl: typeUrls.localPod, resourceNamesSubscribe: [one.podUid ?? ''] });
  await client.response(0);
  assert.deepEqual(client.names(typeUrls.localPod), [here.podUid]);
  client.send({ typeUrl: typeUrls.meshSettings });
  await client.response(1);
  assert.deepEqual(client.names(typeUrls.meshSettings), ['mesh']);
});

test('a pod that moves to another node changes hands', async (context) => {
  const pods = [localPod(here)];
  const harness = await DiscoveryHarness.start(context, meshState({ workloads: [here], localPods: pods }));
  const client = harness.client();
  client.send({ typeUrl: typeUrls.localPod });
  await client.response(0);
  await harness.set(meshState({ workloads: [{ ...here, node: 'elsewhere' }], localPods: pods }));
  assert.deepEqual((await client.response(1)).removedResources, [here.podUid]);
});

test('a change of the network names every address anew', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client();
  client.send({ typeUrl, resourceNamesSubscribe: ['net/10.0.0.3'] });
  await client.response(0);
  await harness.set({ ...mesh, settings: { ...mesh.settings, network: 'net' } });
  await waitFor(() => client.names(typeUrl).includes(other.uid), { interval: 2 });
});

test('a type that is not served is answered by nothing, not by an end', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client();
  client.send({ typeUrl: 'type.googleapis.com/newer.Type' });
  assert.equal((await client.response(0)).resources.length, 0);
  client.send({ typeUrl });
  await client.response(1);
});

for (const [what, type, names, code] of [
  ['no type', '', [], status.INVALID_ARGUMENT],
  ['a name with control characters', typeUrl, ['\0node/other'], status.INVALID_ARGUMENT],
  ['a name that is too long', typeUrl, ['x'.repeat(600)], status.INVALID_ARGUMENT],
  ['too many names', typeUrl, Array.from({ length: 50_001 }, (_, index) => `/${index}`), status.RESOURCE_EXHAUSTED],
] as const) {
  test(`a subscription with ${what} ends with a status that says so`, async (context) => {
    const harness = await DiscoveryHarness.start(context, mesh);
    const client = harness.client();
    client.send({ typeUrl: type, resourceNamesSubscribe: [...names] });
    assert.equal((await client.ended()).code, code);
  });
}

test('a workload gets no resources', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  harness.caller = {
    kind: 'workload',
    identity: { trustDomain: 'cluster.local', namespace: 'a', serviceAccount: 'b' },
    pod: null,
  };
  const client = harness.client();
  assert.equal((await client.ended()).code, status.PERMISSION_DENIED);
});

test('whoever wants to know is told which agents come and go', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client();
  client.send({ typeUrl });
  await client.response(0);
  client.close();
  await waitFor(() => harness.present.length === 2, { interval: 2, what: 'the end of the stream' });
  assert.deepEqual(harness.present, [`${NODE} came`, `${NODE} went`]);
});

test('a stream that has reached its age ends well', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client();
  client.send({ typeUrl });
  await client.response(0);
  harness.timers.advance(60_000);
  assert.equal((await client.ended()).code, status.OK);
});

test('a stop tells clients to come back', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client();
  client.send({ typeUrl });
  await client.response(0);
  harness.service.stop();
  assert.equal((await client.ended()).code, status.UNAVAILABLE);
});

test('clients that do not read hold up nobody for long', async (context) => {
  const many = Array.from({ length: 5000 }, (_, index) => workload(`w${index}`, { canonicalName: 'x'.repeat(100) }));
  const harness = await DiscoveryHarness.start(context, meshState({ workloads: many }));
  harness.caller = { kind: 'local' };
  const slow = [1, 2, 3, 4].map(() => harness.client());
  for (const client of slow) {
    client.pause();
    client.send({ typeUrl });
  }
  await waitFor(() => harness.service.status().filter(({ types }) => types[0]?.sent).length === 4, { interval: 2 });
  const reader = harness.client();
  reader.send({ typeUrl: typeUrls.meshSettings });
  await reader.response(0);
  reader.send({ typeUrl });
  await waitFor(() => harness.service.status().filter(({ types }) => types.length > 0).length === 5, { interval: 2 });
  // All four places for large responses are taken by clients that will never read them.
  harness.timers.advance(10_000);
  await reader.response(1);
  assert.equal(reader.names(typeUrl).length, 5000);
});

test('a client of ours gets a large mesh in pages, and is told which one is the last', async (context) => {
  const many = Array.from({ length: 1200 }, (_, index) => workload(`w${index}`));
  const harness = await DiscoveryHarness.start(context, meshState({ workloads: many }));
  const client = harness.client();
  client.send({ typeUrl, node: { metadata: { AMBIT_PARTIAL_RESPONSES: true } } });
  await waitFor(() => client.names(typeUrl).length === 1200, { interval: 2 });
  await waitFor(() => client.responses.at(-1)?.systemVersionInfo === '', { interval: 2 });
  const pages = client.responses.map(({ resources }) => resources.length);
  assert.ok(pages.length >= 3 && Math.max(...pages) <= 500, `pages of ${pages.join()}`);
  assert.ok(client.responses.slice(0, -1).every(({ systemVersionInfo }) => systemVersionInfo === 'partial'));
});

test('what changes between two pages is sent after the last', async (context) => {
  const many = Array.from({ length: 1200 }, (_, index) => workload(`w${index}`));
  const harness = await DiscoveryHarness.start(context, meshState({ workloads: many }));
  const client = harness.client({ acknowledge: false });
  client.send({ typeUrl, node: { metadata: { AMBIT_PARTIAL_RESPONSES: true } } });
  const { nonce } = await client.response(0);
  await harness.set(meshState({ workloads: many.slice(1) }));
  client.send({ typeUrl, responseNonce: nonce });
  for (let index = 1; client.names(typeUrl).length !== 1199; index++) {
    const response = await client.response(index);
    client.send({ typeUrl, responseNonce: response.nonce });
  }
  assert.ok(!client.names(typeUrl).includes(workload('w0').uid));
});

test('a node that opens one stream too many loses its oldest', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const clients = [];
  for (let count = 1; count <= 5; count++) {
    const client = harness.client();
    client.send({ typeUrl });
    await client.response(0);
    clients.push(client);
  }
  assert.equal((await clients[0]?.ended())?.code, status.ABORTED);
  assert.deepEqual(
    clients.map((client) => client.status === null),
    [false, true, true, true, true],
  );
});

test('a stream that asks for nothing large does not keep its node from coming back', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const silent = harness.client();
  silent.send({ typeUrl: typeUrls.meshSettings });
  await silent.response(0);
  const next = harness.client();
  next.send({ typeUrl });
  harness.timers.advance(10_000);
  await next.response(0);
  assert.equal(silent.status, null);
});

test('names that nobody has are bounded beside a wildcard, too', async (context) => {
  const harness = await DiscoveryHarness.start(context, mesh);
  const client = harness.client({ acknowledge: false });
  client.send({ typeUrl });
  await client.response(0);
  client.send({ typeUrl, resourceNamesSubscribe: Array.from({ length: 50_001 }, (_, index) => `/${index}`) });
  assert.equal((await client.ended()).code, status.RESOURCE_EXHAUSTED);
});
