import assert from 'node:assert/strict';
import { request } from 'node:https';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { authorityFrom } from '../../../../src/ca/authority.ts';
import { generateAuthority } from '../../../../src/ca/certificates.ts';
import { reviewAdmission } from '../../../../src/control/kubernetes/admission.ts';
import { keepWebhookBundle } from '../../../../src/control/kubernetes/webhook-bundle.ts';
import { WebhookServer } from '../../../../src/control/kubernetes/webhook-server.ts';
import { ServingCertificate } from '../../../../src/control/serving-certificate.ts';
import { silentLogger } from '../../../support/loggers.ts';
import { quietObserver, startFakeCluster } from '../../../support/kube/fake-cluster.ts';
import { ManualTimers } from '../../../support/manual-timers.ts';
import { waitFor } from '../../../support/wait.ts';

const policy = (spec: unknown) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'p', namespace: 'shop' },
  spec,
});

function review(object: unknown, operation = 'CREATE') {
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: { uid: 'u', operation, object } };
}

test('allows what can be read', () => {
  assert.deepEqual(reviewAdmission(review(policy({ rules: [{}] })))?.response, { uid: 'u', allowed: true });
});

test('refuses what cannot, and names every mistake', () => {
  const spec = { action: 'MAYBE', rules: [{ from: [{ source: { principal: ['x'] } }] }] };
  const response = reviewAdmission(review(policy(spec)))?.response;
  assert.equal(response?.allowed, false);
  assert.match(response.status?.message ?? '', /AuthorizationPolicy shop\/p: spec\.action/);
  assert.match(response.status?.message ?? '', /principal/);
});

test('says nothing of other kinds, nor of deletions', () => {
  assert.equal(
    reviewAdmission(review({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' } }))?.response.allowed,
    true,
  );
  assert.equal(reviewAdmission(review(null, 'DELETE'))?.response.allowed, true);
});

for (const body of [null, 1, {}, { request: null }, { request: {} }, { request: { uid: 1, operation: 'CREATE' } }]) {
  test(`takes ${JSON.stringify(body)} for no review`, () => {
    assert.equal(reviewAdmission(body), null);
  });
}

async function serve(context: TestContext) {
  const material = await generateAuthority(Date.now());
  const authority = await authorityFrom({ ...material, chain: '' });
  const common = { timers: new ManualTimers(Date.now()), random: () => 0.5, logger: silentLogger };
  const certificate = new ServingCertificate({ authority, names: ['localhost'], ...common });
  await certificate.start();
  const server = new WebhookServer({
    host: '127.0.0.1',
    port: 0,
    certificate,
    logger: silentLogger,
    onReview: () => undefined,
  });
  const port = await server.start();
  context.after(async () => {
    certificate.stop();
    await server.stop();
  });
  return { port, roots: authority.roots };
}

function post(port: number, ca: string, path: string, body: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: 'localhost', family: 4, port, ca, path, method: 'POST', agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => {
        resolve({ status: answer.statusCode ?? 0, body: text });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

test('answers over TLS with the control plane’s certificate', async (context) => {
  const { port, roots } = await serve(context);
  const answer = await post(port, roots, '/validate?timeout=10s', JSON.stringify(review(policy({ rules: [{}] }))));
  assert.equal(answer.status, 200);
  assert.match(answer.body, /"allowed":true/);
});

test('answers garbage and other paths without a review', async (context) => {
  const { port, roots } = await serve(context);
  assert.equal((await post(port, roots, '/validate', '{')).status, 400);
  assert.equal((await post(port, roots, '/validate', '{}')).status, 400);
  assert.equal((await post(port, roots, '/other', '{}')).status, 404);
});

test('keeps the roots in the configuration of the API server', async (context) => {
  const cluster = await startFakeCluster(context);
  const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
  const right = Buffer.from('PEM').toString('base64');
  const put = (...bundles: readonly string[]): void => {
    const webhooks = bundles.map((caBundle) => ({ clientConfig: { caBundle } }));
    cluster.server.put(path, 'istio-validator', { webhooks });
  };
  put(right, '');
  const abort = new AbortController();
  const common = { name: 'istio-validator', roots: 'PEM', random: () => 0.5, observe: quietObserver };
  const running = keepWebhookBundle({ ...cluster, ...common, onFailure: () => undefined }, abort.signal);
  const writes = () => cluster.server.requests.filter(({ kind }) => kind === 'write');
  await waitFor(() => writes().length === 1);
  assert.deepEqual(writes()[0]?.body, [{ op: 'add', path: '/webhooks/1/clientConfig/caBundle', value: right }]);
  await waitFor(() => cluster.server.openWatches === 1);
  put('other', right);
  await waitFor(() => writes().length === 2);
  put(right, right);
  abort.abort();
  await running;
  assert.equal(writes().length, 2);
});
