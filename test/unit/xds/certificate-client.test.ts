import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from '@peculiar/x509';
import { errorCode } from '../../../src/config/errors.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { systemTimers } from '../../../src/timing/timers.ts';
import { CertificateClient } from '../../../src/xds/certificate-client.ts';
import { FakeControlPlane } from '../../support/control-plane.ts';
import type { CertificateCall } from '../../support/control-plane.ts';
import { TestAuthority } from '../../support/test-authority.ts';
import { waitFor } from '../../support/wait.ts';
import type { LeafOverrides } from '../../support/test-authority.ts';

const WEB = 'spiffe://cluster.local/ns/default/sa/web';

interface Rig {
  readonly control: FakeControlPlane;
  readonly client: CertificateClient;
  readonly authority: TestAuthority;
  readonly sign: (signal?: AbortSignal) => ReturnType<CertificateClient['sign']>;
  readonly refused: () => Promise<unknown>;
  /** The CA answers so from now on. */
  readonly answerWith: (overrides: LeafOverrides) => void;
}

async function newRig(context: TestContext): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-ca-client-'));
  writeFileSync(join(folder, 'token'), 'node.token');
  const control = new FakeControlPlane();
  await control.start();
  const authority = await TestAuthority.create();
  const metrics = createAgentMetrics('test');
  const client = new CertificateClient({
    access: {
      endpoint: { target: control.address, tls: false },
      rootFile: null,
      tokenFile: join(folder, 'token'),
      token: null,
      headers: [],
      serverName: null,
      clusterId: 'Kubernetes',
    },
    ttl: 3_600_000,
    timers: systemTimers,
    metrics,
  });
  const answerWith = (overrides: LeafOverrides): void => {
    control.sign = ({ request }) => authority.answer(request.csr, overrides);
  };
  answerWith({});
  context.after(async () => {
    client.close();
    await control.stop();
    rmSync(folder, { recursive: true });
  });
  return {
    control,
    client,
    authority,
    answerWith,
    sign: (signal = new AbortController().signal) => client.sign(WEB, signal),
    refused: async () =>
      (await metrics.certificateAnswersRefused.get()).values.map(({ labels }) => labels['reason'])[0],
  };
}

function requestOf(call: CertificateCall | undefined): Pkcs10CertificateRequest {
  return new Pkcs10CertificateRequest(call?.request.csr ?? '');
}

suite('the CA client', () => {
  test('gets a certificate for the key that it made, with chain and roots', async (context) => {
    const rig = await newRig(context);
    const issued = await rig.sign();
    const leaf = new X509Certificate(issued.certificateChain);
    assert.equal(leaf.subjectAltName, `URI:${WEB}`);
    assert.equal(issued.roots, rig.authority.roots);
    assert.match(issued.privateKey, /^-----BEGIN PRIVATE KEY-----\n/);
    assert.equal(issued.certificateChain.match(/BEGIN CERTIFICATE/g)?.length, 2);
    assert.equal(issued.notAfter, Date.parse(leaf.validTo));
  });

  test('asks as a ztunnel does: impersonated identity, seconds, token', async (context) => {
    const rig = await newRig(context);
    await rig.sign();
    const [call] = rig.control.certificateCalls;
    assert.deepEqual(call?.request.metadata, { ImpersonatedIdentity: WEB });
    assert.equal(call.request.validityDuration, 3600n);
    assert.deepEqual(call.metadata.get('authorization'), ['Bearer node.token']);
    assert.deepEqual(call.metadata.get('clusterid'), ['Kubernetes']);
  });

  test('the request has no subject and one critical name, on P-256', async (context) => {
    const rig = await newRig(context);
    await rig.sign();
    const request = requestOf(rig.control.certificateCalls[0]);
    const [name, ...others] = request.extensions;
    assert.equal(request.subject, '');
    assert.ok(name instanceof SubjectAlternativeNameExtension && name.critical);
    assert.deepEqual(name.names.toJSON(), [{ type: 'url', value: WEB }]);
    assert.deepEqual(others, []);
    assert.ok(await request.verify());
    const key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' });
    assert.deepEqual(key.asymmetricKeyDetails, { namedCurve: 'prime256v1' });
  });

  test('makes a new key for each request', async (context) => {
    const rig = await newRig(context);
    const [first, second] = [await rig.sign(), await rig.sign()];
    assert.notEqual(first.privateKey, second.privateKey);
  });

  const wrong: readonly (readonly [string, LeafOverrides, string])[] = [
    ['for another name', { names: ['spiffe://cluster.local/ns/default/sa/admin'] }, 'name'],
    ['with a name more', { names: [WEB, 'spiffe://cluster.local/ns/default/sa/admin'] }, 'name'],
    ['without a name', { names: [] }, 'name'],
    ['for another key', { otherKey: true }, 'key'],
    ['of another authority', { foreignRoots: true }, 'chain'],
    ['that has ended', { notAfter: Date.now() - 1000 }, 'time'],
    ['that begins in an hour', { notBefore: Date.now() + 3_600_000 }, 'time'],
    ['that is no certificate', { garbage: true }, 'malformed'],
  ];
  for (const [title, overrides, fault] of wrong) {
    test(`refuses and counts a certificate ${title}`, async (context) => {
      const rig = await newRig(context);
      rig.answerWith(overrides);
      await assert.rejects(rig.sign(), (error: unknown) => errorCode(error) === 'CA_ANSWER_INVALID');
      assert.equal(await rig.refused(), fault);
    });
  }

  test('clocks may be a few minutes apart', async (context) => {
    const rig = await newRig(context);
    rig.answerWith({ notBefore: Date.now() + 4 * 60_000 });
    await rig.sign();
    assert.equal(await rig.refused(), undefined);
  });

  test('a refusal says what the CA demands', async (context) => {
    const rig = await newRig(context);
    rig.control.sign = () => Promise.reject(new Error('down'));
    await assert.rejects(rig.sign(), /\[?the CA gives no answer: down/);
  });

  test('gives up when it is told to', async (context) => {
    const rig = await newRig(context);
    const abort = new AbortController();
    let answer: (chain: readonly string[]) => void = () => undefined;
    rig.control.sign = () => new Promise((resolve) => (answer = resolve));
    const signing = rig.sign(abort.signal);
    await waitFor(() => rig.control.certificateCalls.length === 1, { interval: 2, what: 'the request' });
    abort.abort();
    await assert.rejects(signing, (error: unknown) => errorCode(error) === 'CA_UNAVAILABLE');
    answer([]);
  });
});
