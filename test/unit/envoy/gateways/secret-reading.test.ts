import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { placesOf, secretResourceName } from '../../../../src/envoy/gateways/secret-names.ts';
import { readCertificate, readRoots, readRootsMap } from '../../../../src/envoy/gateways/secret-reading.ts';
import type { SecretReading } from '../../../../src/envoy/gateways/secret-reading.ts';
import { certify, curve, now, revocationList, rsa } from './certificates.ts';
import type { Certified } from './certificates.ts';
import { configMap, secret } from './documents.ts';

const name = 'kubernetes://shop/web';
const day = 86_400_000;

let root: Certified;
let intermediate: Certified;
let server: Certified;
let stranger: Certified;

before(async () => {
  root = await certify('root');
  intermediate = await certify('intermediate', { signer: root });
  server = await certify('server', { signer: intermediate });
  stranger = await certify('stranger');
});

type Data = Readonly<Record<string, string | Uint8Array>>;

function pair(chain: string = server.certificate, key: string = server.key, more: Data = {}): Data {
  return { 'tls.crt': chain, 'tls.key': key, ...more };
}

function certificateOf(data: Data, type?: string) {
  const reading = readCertificate(secret(data, type), name, now);
  assert.ok(reading.ok, reading.ok ? '' : reading.problem);
  return reading;
}

/** Why it cannot be used; nothing of what is in it may stand there. */
function problemOf(reading: SecretReading): string {
  assert.equal(reading.ok, false);
  assert.doesNotMatch(reading.problem, /BEGIN|[A-Za-z0-9+/=]{40}/);
  return reading.problem;
}

function subjects(chain: string): readonly string[] {
  const blocks = chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block).subject.replace('CN=', ''));
}

void describe('a certificate', () => {
  test('is that of a Secret of type tls', () => {
    const { secret: found, expires, keyType, remarks } = certificateOf(pair());
    assert.equal(found.name, name);
    assert.deepEqual(subjects(found.chain), ['server']);
    assert.ok(createPrivateKey(found.key).equals(createPrivateKey(server.key)));
    assert.equal(found.staple, null);
    assert.deepEqual([expires, keyType, remarks], [now + day, 'ec', []]);
  });

  test('is that of an older kind of Secret', () => {
    const { secret: found } = certificateOf({ cert: server.certificate, key: server.key }, 'Opaque');
    assert.deepEqual(subjects(found.chain), ['server']);
  });

  test('is followed by who has signed it', () => {
    const { secret: found, remarks } = certificateOf(
      pair(server.certificate + intermediate.certificate + root.certificate),
    );
    assert.deepEqual(subjects(found.chain), ['server', 'intermediate', 'root']);
    assert.deepEqual(remarks, []);
  });

  test('has its key alone, whatever stands beside that', () => {
    const { secret: found } = certificateOf(pair(server.certificate, `${server.key}${stranger.key}`));
    assert.equal(found.key.match(/BEGIN/g)?.length, 1);
    assert.ok(createPrivateKey(found.key).equals(server.privateKey));
  });

  test('that has expired is shown all the same, which is told', async () => {
    assert.equal(certificateOf(pair()).expired, null);
    const old = await certify('old', { to: now - 1000 });
    assert.match(certificateOf(pair(old.certificate, old.key)).expired ?? '', /has expired at 2026-05-31T23:59:59/);
  });

  test('that does not stand first is put there, and those after it in order, and that is told', () => {
    const mixed = root.certificate + stranger.certificate + intermediate.certificate + server.certificate;
    const { secret: found, remarks } = certificateOf(pair(mixed));
    assert.deepEqual(subjects(found.chain), ['server', 'intermediate', 'root', 'stranger']);
    assert.match(remarks.join(), /not in order/);
  });

  test('may stand in a text with words around it', () => {
    const { secret: found } = certificateOf(pair(`Subject: server\n${server.certificate}\nend\n`));
    assert.deepEqual(subjects(found.chain), ['server']);
  });

  for (const [what, keys, type] of [
    ['P-384', () => curve('P-384'), 'ec'],
    ['P-521', () => curve('P-521'), 'ec'],
    ['RSA of 2048 bits', () => rsa(2048), 'rsa'],
  ] as const) {
    test(`may have a key of ${what}`, async () => {
      const own = await certify('other', { keys: keys(), signer: root });
      assert.equal(certificateOf(pair(own.certificate, own.key)).keyType, type);
    });
  }

  test('may have a word of who has signed it, as it stands', () => {
    const staple = der(Buffer.concat([Buffer.from([2, 4]), Buffer.from(server.serial, 'hex')]));
    const { secret: found, remarks } = certificateOf(pair(undefined, undefined, { 'tls.ocsp-staple': staple }));
    assert.deepEqual(found.staple, new Uint8Array(staple));
    assert.deepEqual(remarks, []);
  });

  for (const [what, staple] of [
    ['of another certificate', der(Buffer.from([2, 1, 5]))],
    ['that is none', Buffer.from('nonsense')],
  ] as const) {
    test(`goes without such a word ${what}, which is told`, () => {
      const { secret: found, remarks } = certificateOf(pair(undefined, undefined, { 'tls.ocsp-staple': staple }));
      assert.equal(found.staple, null);
      assert.match(remarks.join(), /ocsp-staple/);
    });
  }
});

void describe('a certificate that cannot be used', () => {
  const read = (data: Data, type?: string): string => problemOf(readCertificate(secret(data, type), name, now));

  test('is one of another type of Secret', () => {
    assert.match(read(pair(), 'kubernetes.io/dockerconfigjson'), /is of type "kubernetes\.io\/dockerconfigjson"/);
  });

  test('is one without a part', () => {
    assert.match(read({ 'tls.key': server.key }), /has no key tls\.crt/);
    assert.match(read({ 'tls.crt': server.certificate }), /has no key tls\.key/);
    assert.match(read(pair('', server.key)), /has no key tls\.crt/);
  });

  test('is one of another key', () => {
    assert.match(read(pair(server.certificate, stranger.key)), /the key is not that of the certificate/);
  });

  test('is one that is no PEM', () => {
    assert.match(read(pair('nonsense')), /there is no certificate in it/);
    assert.match(read(pair(server.certificate, 'nonsense')), /its key cannot be read/);
    const torn = server.certificate.replace(/^(.*\n.*\n).*\n/, '$1');
    assert.match(read(pair(torn)), /one of its certificates cannot be read/);
    assert.match(read(pair(server.certificate, server.key.replace(/\n.{10}/, '\n'))), /its key cannot be read/);
  });

  test('is one of an encrypted key', () => {
    const key = server.privateKey
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'a' })
      .toString();
    assert.match(read(pair(server.certificate, key)), /its key is encrypted/);
  });

  test('is one that is not good yet', async () => {
    const young = await certify('young', { from: now + 1000 });
    assert.match(read(pair(young.certificate, young.key)), /is good from 2026-06-01T00:00:01/);
  });

  test('is one of a weak key', async () => {
    const weak = await certify('weak', { keys: rsa(1024), signer: root });
    assert.match(read(pair(weak.certificate, weak.key)), /RSA of 2048 bits or more/);
  });
});

void describe('roots', () => {
  test('are those of a Secret, in both kinds', () => {
    for (const [data, type] of [
      [{ 'ca.crt': root.certificate }, 'kubernetes.io/tls'],
      [{ cacert: root.certificate }, 'Opaque'],
    ] as const) {
      const reading = readRoots(secret(data, type), name, now);
      assert.ok(reading.ok);
      assert.deepEqual(subjects(reading.secret.roots), ['root']);
      assert.equal(reading.secret.revocationList, null);
    }
  });

  test('are those of a ConfigMap', () => {
    const reading = readRootsMap(configMap({ 'ca.crt': root.certificate + stranger.certificate }), name, now);
    assert.ok(reading.ok);
    assert.deepEqual(subjects(reading.secret.roots), ['root', 'stranger']);
  });

  test('come with what is revoked', async () => {
    const list = await revocationList(root);
    const reading = readRoots(secret({ 'ca.crt': root.certificate, 'ca.crl': list }), name, now);
    assert.ok(reading.ok);
    assert.match(reading.secret.revocationList ?? '', /^-----BEGIN X509 CRL-----/);
  });

  test('go without those that have expired, which is told', async () => {
    const old = await certify('old', { to: now - 1 });
    const reading = readRoots(secret({ 'ca.crt': old.certificate + root.certificate }), name, now);
    assert.ok(reading.ok);
    assert.deepEqual(subjects(reading.secret.roots), ['root']);
    assert.match(reading.remarks.join(), /1 of its roots have expired/);
    assert.match(
      problemOf(readRoots(secret({ 'ca.crt': old.certificate }), name, now)),
      /all of its roots have expired/,
    );
  });

  test('that are none cannot be used', () => {
    assert.match(problemOf(readRoots(secret({}), name, now)), /has no key ca\.crt/);
    assert.match(problemOf(readRoots(secret({ 'ca.crt': 'nonsense' }), name, now)), /no certificate in its roots/);
    assert.match(problemOf(readRoots(secret({ 'ca.crt': root.certificate }, 'a/b'), name, now)), /is of type "a\/b"/);
    assert.match(problemOf(readRootsMap(configMap({}), name, now)), /has no key ca\.crt/);
  });

  test('whose list of what is revoked cannot be read cannot be used: it keeps somebody out', async () => {
    const list = await revocationList(root);
    for (const bad of ['nonsense', list.replace(/\n.{10}/, '\n'), list.replace('END X509', 'END')]) {
      const reading = readRoots(secret({ 'ca.crt': root.certificate, 'ca.crl': bad }), name, now);
      assert.match(problemOf(reading), /its revocation list cannot be read/);
    }
  });
});

void describe('a reference', () => {
  const plain = { kind: 'Secret', namespace: null, name: 'web' } as const;

  test('leads into the namespace of the pods where it says none', () => {
    assert.deepEqual(placesOf({ ...plain, use: 'certificate' }, 'edge'), [
      { kind: 'Secret', namespace: 'edge', name: 'web' },
    ]);
    assert.deepEqual(placesOf({ ...plain, namespace: 'shop', use: 'certificate' }, 'edge')[0]?.namespace, 'shop');
  });

  test('to roots of Istio’s credential leads to the Secret beside it, then to itself', () => {
    const places = placesOf({ ...plain, use: 'roots', suffix: '-cacert' }, 'edge');
    assert.deepEqual(
      places.map((place) => place.name),
      ['web-cacert', 'web'],
    );
  });

  test('has a name for Envoy, which no other reference has', () => {
    assert.equal(secretResourceName({ ...plain, use: 'certificate' }, 'edge'), 'kubernetes://edge/web');
    assert.equal(secretResourceName({ ...plain, use: 'roots' }, 'edge'), 'kubernetes://edge/web#roots');
    const beside = { ...plain, use: 'roots', suffix: '-cacert' } as const;
    assert.equal(secretResourceName(beside, 'edge'), 'kubernetes://edge/web-cacert#roots');
    const map = { kind: 'ConfigMap', namespace: 'shop', name: 'roots', use: 'roots' } as const;
    assert.equal(secretResourceName(map, 'edge'), 'configmap://shop/roots#roots');
  });
});

/** One SEQUENCE of DER. */
function der(content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x30, content.length]), content]);
}
