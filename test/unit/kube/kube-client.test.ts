import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { describeError } from '../../../src/config/errors.ts';
import { inClusterAccess } from '../../../src/kube/cluster-access.ts';
import type { ClusterAccess } from '../../../src/kube/cluster-access.ts';
import { KubeClient } from '../../../src/kube/kube-client.ts';
import { isConflict, isExpired, isNotFound, KubeError } from '../../../src/kube/kube-error.ts';
import { FakeApiServer } from '../../support/kube/fake-api-server.ts';
import { ManualTimers } from '../../support/manual-timers.ts';
import { waitFor } from '../../support/wait.ts';

async function createClient(context: TestContext, access: Partial<ClusterAccess> = {}) {
  const server = new FakeApiServer();
  await server.start();
  const timers = new ManualTimers();
  const client = new KubeClient({
    access: {
      server: server.url,
      certificateAuthority: () => Promise.resolve(null),
      clientCertificate: null,
      token: () => Promise.resolve(null),
      ...access,
    },
    timers,
    userAgent: 'ambit/test',
  });
  context.after(async () => {
    client.close();
    await server.stop();
  });
  return { server, client, timers };
}

test('sends a body as the type that it is said to be, and gives the answer’s', async (context) => {
  const { server, client } = await createClient(context);
  server.onWrite = () => ({ status: 201, body: { kind: 'Thing' } });
  const answer = await client.send({
    method: 'PATCH',
    path: '/api/v1/things/a',
    query: { fieldManager: 'ambit', force: true, dryRun: null },
    body: { spec: 'ü' },
    contentType: 'application/apply-patch+yaml',
  });
  assert.deepEqual(answer, { kind: 'Thing' });
  const [request] = server.requests;
  assert.deepEqual(request?.query, { fieldManager: 'ambit', force: 'true' });
  assert.deepEqual(request.body, { spec: 'ü' });
  assert.equal(request.contentType, 'application/apply-patch+yaml');
});

test('a refusal tells the status, the reason and what the server says', async (context) => {
  const { server, client } = await createClient(context);
  server.onWrite = () => ({
    status: 409,
    body: { kind: 'Status', code: 409, reason: 'Conflict', message: 'the object has been modified' },
  });
  const sent = client.send({ method: 'PUT', path: '/api/v1/things/a', body: {} });
  await assert.rejects(sent, (error) => {
    assert.ok(error instanceof KubeError && isConflict(error) && !isNotFound(error) && !isExpired(error));
    assert.match(error.message, /PUT \/api\/v1\/things\/a: 409 the object has been modified/);
    return true;
  });
});

test('a request ends when its time is over, and says so', async (context) => {
  const { server, client, timers } = await createClient(context);
  server.fault('list', { kind: 'silence' });
  const sent = assert.rejects(client.send({ method: 'GET', path: '/api/v1/things' }), (error) => {
    assert.match(describeError(error), /GET \/api\/v1\/things failed: no answer within 30 s/);
    return true;
  });
  await waitFor(() => server.requests.length === 1);
  timers.advance(30_000);
  await sent;
  assert.deepEqual(timers.waits, []);
});

test('the token is read again for each request', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'ambit-kube-'));
  context.after(() => rm(folder, { recursive: true }));
  const access = inClusterAccess({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }, folder);
  assert.equal(access.server, 'https://[fd00::1]:443');
  const { server, client } = await createClient(context, { token: access.token });
  server.define('/api/v1/things');
  for (const token of ['first', 'second']) {
    await writeFile(join(folder, 'token'), `${token}\n`);
    await client.send({ method: 'GET', path: '/api/v1/things' });
  }
  assert.deepEqual(
    server.requests.map(({ authorization }) => authorization),
    ['Bearer first', 'Bearer second'],
  );
});

test('outside of a pod it says what is missing', () => {
  assert.throws(() => inClusterAccess({}), { code: 'KUBERNETES_UNKNOWN' });
});
