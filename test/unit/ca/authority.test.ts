import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile, mkdir, cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { loadAuthority } from '../../../src/ca/authority.ts';
import { initialiseAuthority } from '../../../src/ca/initialise.ts';

const run = promisify(execFile);
const spiffeId = 'spiffe://cluster.local/ns/default/sa/web';
const day = 86_400_000;

void describe('a CA folder', () => {
  let base = '';
  let directory = '';

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'ambit-ca-'));
    directory = join(base, 'ca');
    await initialiseAuthority(directory);
  });
  after(() => rm(base, { recursive: true, force: true }));

  test('is readable by its owner only', async () => {
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
    for (const name of ['root-cert.pem', 'ca-cert.pem', 'ca-key.pem', 'cert-chain.pem', 'root/root-key.pem']) {
      assert.equal((await stat(join(directory, name))).mode & 0o777, 0o600, name);
    }
    assert.deepEqual(await readdir(base), ['ca'], 'no draft is left');
  });

  test('is never overwritten', async () => {
    const before = await readFile(join(directory, 'ca-key.pem'), 'utf8');
    await assert.rejects(initialiseAuthority(directory), { code: 'CA_EXISTS' });
    assert.equal(await readFile(join(directory, 'ca-key.pem'), 'utf8'), before);
    assert.deepEqual(await readdir(base), ['ca'], 'no draft is left');
  });

  test('may be an empty folder before', async () => {
    const empty = join(base, 'empty');
    await mkdir(empty);
    await initialiseAuthority(empty);
    await loadAuthority(empty);
    await rm(empty, { recursive: true });
  });

  test('signs a leaf that openssl accepts for both sides of a handshake', async () => {
    const signed = await (await loadAuthority(directory)).sign({ spiffeId, ttl: day });
    const [leaf, intermediate] = signed.certificateChain.split(/(?<=-----END CERTIFICATE-----\n)/);
    const paths = { leaf: join(base, 'leaf.pem'), intermediate: join(base, 'int.pem'), roots: join(base, 'roots.pem') };
    await writeFile(paths.leaf, leaf ?? '');
    await writeFile(paths.intermediate, intermediate ?? '');
    await writeFile(paths.roots, signed.roots);
    for (const purpose of ['sslserver', 'sslclient']) {
      const { stdout } = await run('openssl', [
        ...['verify', '-x509_strict', '-purpose', purpose, '-CAfile', paths.roots],
        ...['-untrusted', paths.intermediate, paths.leaf],
      ]);
      assert.match(stdout, /: OK/);
    }
    const { stdout } = await run('openssl', ['x509', '-in', paths.leaf, '-noout', '-text']);
    assert.match(stdout, /Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster\.local\/ns\/default\/sa\/web\n/);
    assert.match(stdout, /Subject:\s*\n/);
    assert.match(stdout, /Key Usage: critical\s+Digital Signature\n/);
    assert.match(stdout, /TLS Web Server Authentication, TLS Web Client Authentication/);
  });

  test('gives each certificate its own key, in whole seconds, within its time', async () => {
    const authority = await loadAuthority(directory);
    const [first, second] = await Promise.all([
      authority.sign({ spiffeId, ttl: day }),
      authority.sign({ spiffeId, ttl: day }),
    ]);
    const leaf = new X509Certificate(first.certificateChain);
    assert.ok(leaf.checkPrivateKey(createPrivateKey(first.privateKey)));
    assert.ok(!leaf.checkPrivateKey(createPrivateKey(second.privateKey)));
    assert.equal(first.notAfter % 1000, 0);
    assert.equal(Date.parse(leaf.validTo), first.notAfter);
    assert.ok(first.notAfter - Date.now() <= day && first.notAfter - Date.now() > day - 60_000);
    assert.notEqual(leaf.serialNumber, new X509Certificate(second.certificateChain).serialNumber);
    assert.match(leaf.serialNumber, /^[4-7][0-9A-F]{31}$/);
  });

  test('never signs beyond its own end', async () => {
    const { notAfter } = await loadAuthority(directory);
    const authority = await loadAuthority(directory, { now: () => notAfter - day });
    assert.equal((await authority.sign({ spiffeId, ttl: 30 * day })).notAfter, notAfter);
  });

  test('is refused when its time is up', async () => {
    const { notAfter } = await loadAuthority(directory);
    await assert.rejects(loadAuthority(directory, { now: () => notAfter }), { code: 'CA_EXPIRED' });
    await assert.rejects(loadAuthority(directory, { now: () => 0 }), { code: 'CA_INVALID' });
  });

  for (const bad of [
    'cluster.local/ns/a/sa/b',
    'spiffe://td/ns/a/sa/b/c',
    'spiffe://td/ns//sa/b',
    'spiffe://TD/ns/a/sa/b',
  ]) {
    test(`does not sign ${bad}`, async () => {
      const authority = await loadAuthority(directory);
      await assert.rejects(authority.sign({ spiffeId: bad, ttl: day }), { code: 'CA_REQUEST_INVALID' });
    });
  }

  test('does not sign for no time or for ever', async () => {
    const authority = await loadAuthority(directory);
    for (const ttl of [0, -1, Number.NaN, Infinity, 91 * day]) {
      await assert.rejects(authority.sign({ spiffeId, ttl }), { code: 'CA_REQUEST_INVALID' });
    }
  });

  void describe('that somebody changed', () => {
    let copy = '';
    const restore = async () => {
      copy = await mkdtemp(join(base, 'copy-'));
      await cp(directory, copy, { recursive: true });
      await chmod(copy, 0o700);
    };

    test('is refused where others may read the key', async () => {
      await restore();
      await chmod(join(copy, 'ca-key.pem'), 0o640);
      await assert.rejects(loadAuthority(copy), { code: 'CA_INSECURE', message: /chmod 0600/ });
    });

    test('is refused where others may enter the folder', async () => {
      await restore();
      await chmod(copy, 0o755);
      await assert.rejects(loadAuthority(copy), { code: 'CA_INSECURE', message: /chmod 0700/ });
    });

    test('is refused where the key is of another certificate', async () => {
      await restore();
      await cp(join(copy, 'root/root-key.pem'), join(copy, 'ca-key.pem'));
      await assert.rejects(loadAuthority(copy), { code: 'CA_INVALID', message: /not the key of/ });
    });

    test('is refused where the root is another', async () => {
      await restore();
      const other = join(base, 'other');
      await initialiseAuthority(other);
      await cp(join(other, 'root-cert.pem'), join(copy, 'root-cert.pem'));
      await assert.rejects(loadAuthority(copy), { code: 'CA_INVALID', message: /no chain/ });
    });

    test('is refused without repeating a broken key', async () => {
      await restore();
      await writeFile(join(copy, 'ca-key.pem'), 'c2VjcmV0');
      const error: unknown = await loadAuthority(copy).catch((caught: unknown) => caught);
      assert.ok(error instanceof Error);
      assert.doesNotMatch(`${error.stack ?? ''}${String(error.cause)}`, /c2VjcmV0/);
    });

    test('is refused where a file is missing, with what to do', async () => {
      await restore();
      await rm(join(copy, 'ca-cert.pem'));
      await assert.rejects(loadAuthority(copy), { code: 'CA_UNREADABLE', message: /ambit ca init/ });
    });
  });

  test('of an operator, with a single RSA root, signs too', async () => {
    const own = await mkdtemp(join(base, 'rsa-'));
    await chmod(own, 0o700);
    const [key, certificate] = [join(own, 'ca-key.pem'), join(own, 'ca-cert.pem')];
    await run('openssl', [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/O=Shop/CN=Own root'],
      ...['-keyout', key, '-out', certificate, '-addext', 'keyUsage=critical,keyCertSign'],
    ]);
    await chmod(key, 0o600);
    await cp(certificate, join(own, 'root-cert.pem'));
    await cp(certificate, join(own, 'cert-chain.pem'));
    const signed = await (await loadAuthority(own)).sign({ spiffeId, ttl: day });
    await writeFile(join(own, 'leaf.pem'), signed.certificateChain);
    const { stdout } = await run('openssl', ['verify', '-x509_strict', '-CAfile', certificate, join(own, 'leaf.pem')]);
    assert.match(stdout, /: OK/);
    assert.equal(signed.certificateChain.match(/BEGIN/g)?.length, 1);
  });
});
