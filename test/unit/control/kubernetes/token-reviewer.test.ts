import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { TokenReviewer } from '../../../../src/control/kubernetes/token-reviewer.ts';
import { startFakeCluster } from '../../../support/kube/fake-cluster.ts';

const good = {
  authenticated: true,
  audiences: ['istio-ca'],
  user: {
    username: 'system:serviceaccount:istio-system:ztunnel',
    extra: {
      'authentication.kubernetes.io/pod-name': ['ztunnel-x'],
      'authentication.kubernetes.io/pod-uid': ['uid-1'],
    },
  },
};

async function start(context: TestContext, status: unknown) {
  const cluster = await startFakeCluster(context);
  cluster.server.onWrite = () => ({ status: 201, body: { status } });
  const reviewer = new TokenReviewer({ client: cluster.client, audience: 'istio-ca', timers: cluster.timers });
  return { ...cluster, reviewer };
}

test('tells the service account and the pod of a token', async (context) => {
  const { reviewer, server } = await start(context, good);
  assert.deepEqual(await reviewer.review('secret'), {
    ok: true,
    token: { namespace: 'istio-system', serviceAccount: 'ztunnel', pod: { name: 'ztunnel-x', uid: 'uid-1' } },
  });
  assert.deepEqual(server.requests[0]?.body, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token: 'secret', audiences: ['istio-ca'] },
  });
});

for (const [name, status, reason] of [
  ['unknown', { authenticated: false, error: 'token expired' }, /token expired/],
  ['for another audience', { ...good, audiences: ['https://kubernetes'] }, /audience istio-ca/],
  ['for no audience at all', { ...good, audiences: undefined }, /audience istio-ca/],
  ['of a person', { ...good, user: { username: 'admin' } }, /service account/],
  ['answered by nothing', {}, /does not know/],
] as const) {
  test(`refuses a token that is ${name}`, async (context) => {
    const { reviewer } = await start(context, status);
    const review = await reviewer.review('secret');
    assert.ok(!review.ok);
    assert.match(review.reason, reason);
  });
}

test('asks once for a while, and for concurrent questions', async (context) => {
  const { reviewer, server, timers } = await start(context, good);
  await Promise.all([reviewer.review('secret'), reviewer.review('secret')]);
  await reviewer.review('secret');
  assert.equal(server.requests.length, 1);
  await reviewer.review('other');
  assert.equal(server.requests.length, 2);
  timers.advance(10_001);
  await reviewer.review('secret');
  assert.equal(server.requests.length, 3);
});

test('keeps no refusal, and no failure', async (context) => {
  const { reviewer, server } = await start(context, { authenticated: false });
  await reviewer.review('secret');
  server.fault('write', { kind: 'status', status: 500 });
  await assert.rejects(reviewer.review('secret'), /500/);
  await reviewer.review('secret');
  assert.equal(server.requests.length, 3);
});

test('keeps a bounded number of tokens', async (context) => {
  const { reviewer, server } = await start(context, good);
  for (let index = 0; index < 2100; index++) await reviewer.review(`token-${index}`);
  await reviewer.review('token-0');
  assert.equal(server.requests.length, 2101);
});
