import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { credentials, status } from '@grpc/grpc-js';
import { typeUrls } from '../../../src/wds/names.ts';
import { certificateRequest, p256 } from '../../support/certificate-request.ts';
import type { CertificateRequest, RequestOptions } from '../../support/certificate-request.ts';
import { ControlHarness } from '../../support/control.ts';
import { namespace, pod } from '../../support/manifests.ts';
import { XdsClient } from '../../support/xds-client.ts';

const web = 'spiffe://cluster.local/ns/shop/sa/web';
const elsewhere = 'spiffe://cluster.local/ns/shop/sa/elsewhere';
/** As a node agent asks in the name of a pod. */
function impersonating(spiffeId: string): { metadata: { ImpersonatedIdentity: string } } {
  return { metadata: { ImpersonatedIdentity: spiffeId } };
}

describe('certificates', () => {
  let control: ControlHarness;
  let asked: CertificateRequest;
  let token: string;

  before(async () => {
    const common = { namespace: 'shop', netns: 'x' };
    control = await ControlHarness.start([
      namespace('shop'),
      pod({ ...common, name: 'web', nodeName: 'node-1', addresses: ['10.0.0.1'] }),
      pod({ ...common, name: 'elsewhere', nodeName: 'node-2', addresses: ['10.0.0.2'] }),
      pod({
        ...common,
        name: 'outside',
        nodeName: 'node-1',
        addresses: ['10.0.0.3'],
        labels: { 'istio.io/dataplane-mode': 'none' },
      }),
    ]);
    asked = await certificateRequest(web);
    token = await control.token();
  });

  after(() => control.stop());

  test('a node gets one for a pod of its own, with the chain and the root last', async () => {
    const { code, chain } = await control.certificate({ csr: asked.csr, ...impersonating(web) }, { token });
    assert.equal(code, status.OK);
    const certificates = chain.map((pem) => new X509Certificate(pem));
    const [leaf, intermediate, root] = certificates;
    assert.equal(certificates.length, 3);
    assert.equal(leaf?.subjectAltName, `URI:${web}`);
    assert.ok(leaf.checkPrivateKey(createPrivateKey(asked.key)));
    assert.ok(intermediate && root && leaf.verify(intermediate.publicKey) && intermediate.verify(root.publicKey));
    assert.equal(chain[2], control.roots);
  });

  test('the log names who got it, and no key or token', async () => {
    await control.certificate({ csr: asked.csr, ...impersonating(web) }, { token });
    const line = control.log.find((text) => text.includes('certificate issued')) ?? '';
    assert.match(line, /"caller":"node node-1"/);
    assert.ok(!control.log.join('').includes(token));
  });

  for (const [what, seconds, low, high] of [
    ['what was asked for', 3600n, 3500, 3730],
    ['a day where nothing was asked for', 0n, 86_000, 86_530],
    ['a week at most', 10_000_000_000n, 604_000, 604_930],
    ['a minute at least', 1n, 50, 190],
  ] as const) {
    test(`it lives for ${what}`, async () => {
      const answer = await control.certificate(
        { csr: asked.csr, validityDuration: seconds, ...impersonating(web) },
        { token },
      );
      const leaf = new X509Certificate(answer.chain[0] ?? '');
      const life = (Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)) / 1000;
      assert.ok(life >= low && life <= high, `${life} s`);
    });
  }

  for (const [what, spiffeId] of [
    ['a pod of another node', elsewhere],
    ['nobody', 'spiffe://cluster.local/ns/shop/sa/nobody'],
    ['a pod that is not of the mesh', 'spiffe://cluster.local/ns/shop/sa/outside'],
    ['another trust domain', 'spiffe://other.org/ns/shop/sa/web'],
  ] as const) {
    test(`a node gets none for ${what}`, async () => {
      const { csr } = await certificateRequest(spiffeId);
      const { code } = await control.certificate({ csr, ...impersonating(spiffeId) }, { token });
      assert.equal(code, status.PERMISSION_DENIED);
    });
  }

  test('a node gets none without saying for whom', async () => {
    const { code } = await control.certificate({ csr: asked.csr }, { token });
    assert.equal(code, status.INVALID_ARGUMENT);
  });

  test('a name in the request that is not the one asked for is refused', async () => {
    const { csr } = await certificateRequest(elsewhere);
    const { code, details } = await control.certificate({ csr, ...impersonating(web) }, { token });
    assert.equal(code, status.INVALID_ARGUMENT);
    assert.match(details, /not for spiffe:\/\/cluster\.local\/ns\/shop\/sa\/web/);
  });

  for (const [what, options] of [
    [
      'an RSA key',
      {
        algorithm: {
          name: 'RSASSA-PKCS1-v1_5',
          modulusLength: 2048,
          publicExponent: new Uint8Array([1, 0, 1]),
          hash: 'SHA-256',
        },
      },
    ],
    ['a key on another curve', { algorithm: { ...p256, namedCurve: 'P-384' } }],
    ['a name that is not critical', { critical: false }],
    [
      'a second name',
      {
        names: [
          { type: 'url', value: web },
          { type: 'dns', value: 'web.example.org' },
        ],
      },
    ],
    ['a DNS name', { names: [{ type: 'dns', value: 'web.example.org' }] }],
  ] satisfies readonly (readonly [string, RequestOptions])[]) {
    test(`a request with ${what} is refused`, async () => {
      const { csr } = await certificateRequest(web, options);
      const { code } = await control.certificate({ csr, ...impersonating(web) }, { token });
      assert.equal(code, status.INVALID_ARGUMENT);
    });
  }

  for (const [what, broken] of [
    ['not PEM', (): string => 'nonsense'],
    ['changed after it was signed', (csr: string): string => tampered(csr)],
    ['too large', (csr: string): string => csr + ' '.repeat(20_000)],
  ] as const) {
    test(`a request that is ${what} is refused`, async () => {
      const { code } = await control.certificate({ csr: broken(asked.csr), ...impersonating(web) }, { token });
      assert.equal(code, status.INVALID_ARGUMENT);
    });
  }

  test('without a token and without a certificate there is none', async () => {
    const { code } = await control.certificate({ csr: asked.csr, ...impersonating(web) });
    assert.equal(code, status.UNAUTHENTICATED);
  });

  test('a token that has expired is refused, and counted', async () => {
    const old = await control.token({ now: Date.now() - 3_600_000 });
    const { code } = await control.certificate({ csr: asked.csr, ...impersonating(web) }, { token: old });
    assert.equal(code, status.UNAUTHENTICATED);
    const [{ value } = { value: 0 }] = (await control.metrics.authenticationFailures.get()).values;
    assert.ok(value >= 1);
  });

  test('the token of a pod is good for that pod alone', async () => {
    const own = await control.token({ pod: 'shop/web' });
    assert.equal((await control.certificate({ csr: asked.csr }, { token: own })).code, status.OK);
    const { csr } = await certificateRequest(elsewhere);
    const foreign = await control.certificate({ csr, ...impersonating(elsewhere) }, { token: own });
    assert.equal(foreign.code, status.PERMISSION_DENIED);
  });

  test('the token of a pod that does not run on its node is refused', async () => {
    const stale = await control.token({ pod: 'shop/elsewhere' });
    assert.equal((await control.certificate({ csr: asked.csr }, { token: stale })).code, status.UNAUTHENTICATED);
  });

  test('a workload renews its own by the certificate that it has', async () => {
    const { chain } = await control.certificate({ csr: asked.csr, ...impersonating(web) }, { token });
    const client = { certificate: chain.slice(0, 2).join(''), key: asked.key };
    assert.equal((await control.certificate({ csr: asked.csr }, { client })).code, status.OK);
    const { csr } = await certificateRequest(elsewhere);
    assert.equal((await control.certificate({ csr }, { client })).code, status.INVALID_ARGUMENT);
  });

  test('xDS over TLS takes the node from the token', async () => {
    const tls = credentials.createSsl(Buffer.from(control.roots));
    const client = new XdsClient(control.ports.xds, { credentials: tls, token });
    try {
      client.send({ typeUrl: typeUrls.localPod, node: { id: 'x' } });
      await client.response(0);
      assert.deepEqual(client.names(typeUrls.localPod), ['shop-outside-uid', 'shop-web-uid']);
    } finally {
      client.close();
    }
  });

  test('xDS over TLS refuses a client that calls itself another node than its token does', async () => {
    const tls = credentials.createSsl(Buffer.from(control.roots));
    const client = new XdsClient(control.ports.xds, { credentials: tls, token });
    client.send({ typeUrl: typeUrls.localPod, node: { id: 'x', metadata: { NODE_NAME: 'node-2' } } });
    const { code, details } = await client.ended();
    assert.equal(code, status.PERMISSION_DENIED);
    assert.match(details, /that of node node-1, and the client says that it runs on node node-2/);
    client.close();
  });

  test('xDS over TLS refuses whoever has no token', async () => {
    const client = new XdsClient(control.ports.xds, { credentials: credentials.createSsl(Buffer.from(control.roots)) });
    assert.equal((await client.ended()).code, status.UNAUTHENTICATED);
    client.close();
  });
});

/** Another byte in the middle of the key that it holds. */
function tampered(csr: string): string {
  const der = Buffer.from(csr.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  const last = der.length - 8;
  der[last] = (der[last] ?? 0) ^ 1;
  return `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
}
