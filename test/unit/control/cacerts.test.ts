import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmod, cp, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { requestCertificateFor } from '../../../src/xds/certificate-request.ts';
import { makeCacerts } from '../../support/cacerts.ts';
import { ControlHarness } from '../../support/control.ts';
import { namespace, pod } from '../../support/manifests.ts';

const run = promisify(execFile);
const identity = 'spiffe://cluster.local/ns/shop/sa/web';
const mesh = [
  namespace('shop'),
  pod({ name: 'web', namespace: 'shop', nodeName: 'node-1', netns: 'web', addresses: ['10.0.0.1'] }),
];

describe("a control plane with an operator's cacerts", () => {
  let base = '';
  let good = '';
  let folder = '';
  let serial = 0;

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'ambit-cacerts-'));
    good = join(base, 'good');
    await makeCacerts(good);
  });
  after(() => rm(base, { recursive: true, force: true }));
  beforeEach(async () => {
    folder = join(base, `copy-${++serial}`);
    await cp(good, folder, { recursive: true });
    await chmod(folder, 0o700);
  });

  async function withControl(use: (control: ControlHarness) => Promise<void>): Promise<void> {
    const control = await ControlHarness.start(mesh, folder);
    try {
      await use(control);
    } finally {
      await control.stop();
    }
  }

  async function issue(control: ControlHarness): Promise<readonly string[]> {
    const { request: csr } = await requestCertificateFor(identity);
    const token = await control.token();
    const request = { csr, validityDuration: 3600n, metadata: { ImpersonatedIdentity: identity } };
    const { code, details, chain } = await control.certificate(request, { token });
    assert.equal(code, 0, details);
    return chain;
  }

  test('is reached by its root, and gives certificates that lead there', async () => {
    await withControl(async (control) => {
      const chain = await issue(control);
      const roots = join(folder, 'root-cert.pem');
      assert.deepEqual(chain.slice(1, -1).map(subject), ['O=Shop\nCN=Shop mesh', 'O=Shop\nCN=Shop region']);
      await writeFile(join(base, 'leaf.pem'), chain[0] ?? '');
      await writeFile(join(base, 'between.pem'), chain.slice(1, -1).join(''));
      const files = ['-CAfile', roots, '-untrusted', join(base, 'between.pem'), join(base, 'leaf.pem')];
      assert.match((await run('openssl', ['verify', ...files])).stdout, /: OK/);
    });
  });

  test('tells when root and chain end, and makes no CA of its own', async () => {
    await withControl(async (control) => {
      const page = await control.metrics.registry.metrics();
      const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(page)?.[1]);
      const now = Date.now() / 1000;
      assert.ok(value('citadel_server_root_cert_expiry_timestamp') > now + 3000 * 86_400);
      const chain = value('citadel_server_cert_chain_expiry_timestamp');
      assert.ok(chain > now && chain < now + 31 * 86_400);
      assert.ok(!control.log.some((line) => line.includes('made a CA')));
    });
  });

  /** Folder of a mounted secret: everybody's, with the sticky bit, and links to files that all may read. */
  test('takes it as Kubernetes mounts a secret, and warns of a key that others may read', async () => {
    const data = join(folder, '..data');
    await rename(folder, `${folder}-data`);
    await run('mkdir', [folder]);
    await chmod(folder, 0o1777);
    await rename(`${folder}-data`, data);
    for (const name of ['root-cert.pem', 'ca-cert.pem', 'ca-key.pem', 'cert-chain.pem']) {
      await chmod(join(data, name), 0o644);
      await symlink(join('..data', name), join(folder, name));
    }
    await withControl(async (control) => {
      await issue(control);
      const warnings = control.log.filter((line) => line.includes('CA_INSECURE'));
      assert.ok(warnings.some((line) => /ca-key\.pem has mode 0644.*chmod 0600/.test(line)));
      assert.ok(warnings.every((line) => line.includes('"level":"warn"')));
    });
  });

  const wrong: Readonly<Record<string, { spoil: () => Promise<unknown>; code: string; message: RegExp }>> = {
    'a key of another certificate': {
      spoil: async () => {
        await makeCacerts(join(base, 'other'));
        await cp(join(base, 'other/ca-key.pem'), join(folder, 'ca-key.pem'));
      },
      code: 'CA_INVALID',
      message: /ca-key\.pem is not the key of ca-cert\.pem/,
    },
    'a signing certificate that has ended': {
      spoil: () => makeCacerts(folder, { notAfter: Date.now() - 3_600_000 }),
      code: 'CA_EXPIRED',
      message: /certificate "O=Shop, CN=Shop mesh" ends \d{4}-/,
    },
    'a chain that does not lead to the root': {
      spoil: () => cp(join(folder, 'ca-cert.pem'), join(folder, 'cert-chain.pem')),
      code: 'CA_INVALID',
      message: /no chain of CA certificates leads from ca-cert\.pem to one of root-cert\.pem/,
    },
    'a root of somebody else': {
      spoil: async () => {
        await makeCacerts(join(base, 'stranger'));
        await cp(join(base, 'stranger/root-cert.pem'), join(folder, 'root-cert.pem'));
      },
      code: 'CA_INVALID',
      message: /no chain of CA certificates leads/,
    },
    'a key that others may change': {
      spoil: () => chmod(join(folder, 'ca-key.pem'), 0o622),
      code: 'CA_INSECURE',
      message: /ca-key\.pem has mode 0622.*chmod 0600/,
    },
    'a missing file': {
      spoil: () => rm(join(folder, 'cert-chain.pem')),
      code: 'CA_UNREADABLE',
      message: /cert-chain\.pem cannot be read.*cacerts/,
    },
    'text instead of a certificate': {
      spoil: () => writeFile(join(folder, 'ca-cert.pem'), 'nothing'),
      code: 'CA_INVALID',
      message: /ca-cert\.pem holds no PEM certificate/,
    },
    'a key with a passphrase': {
      spoil: () =>
        run('openssl', [
          ...['pkey', '-in', join(good, 'ca-key.pem'), '-aes128', '-passout', 'pass:x'],
          ...['-out', join(folder, 'ca-key.pem')],
        ]),
      code: 'CA_INVALID',
      message: /without a passphrase/,
    },
  };
  for (const [what, { spoil, code, message }] of Object.entries(wrong)) {
    test(`does not start with ${what}, and says so`, async () => {
      await spoil();
      const started = withControl(() => Promise.resolve());
      await assert.rejects(started, { code, message });
    });
  }
});

function subject(pem: string): string {
  return new X509Certificate(pem).subject;
}
