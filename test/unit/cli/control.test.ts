import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { main } from '../../../src/cli/program.ts';
import { loadTokenKeys } from '../../../src/control/certificates/token-keys.ts';
import { readToken } from '../../../src/control/certificates/tokens.ts';

describe('ambit control token', () => {
  let folder: string;
  let printed: string;

  const run = (...words: readonly string[]): Promise<number> =>
    main(['control', 'token', ...words], {
      environment: {},
      output: (text) => (printed += text),
      version: 'test',
      addon: '',
    });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ambit-token-'));
    printed = '';
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('prints a token that the control plane of that folder takes', async () => {
    assert.equal(await run('--node', 'worker-1', '--state-dir', folder, '--pod', 'shop/web'), 0);
    const reading = readToken(await loadTokenKeys(folder), printed.trim(), Date.now());
    assert.deepEqual(reading, { ok: true, subject: { node: 'worker-1', pod: 'shop/web' } });
  });

  test('makes a key that only its owner can read', async () => {
    await run('--node', 'worker-1', '--state-dir', folder);
    assert.equal((await stat(join(folder, 'token-key.pem'))).mode & 0o777, 0o600);
  });

  test('makes one key where many ask at once, and each of them has the whole of it', async () => {
    const keys = await Promise.all(Array.from({ length: 20 }, () => loadTokenKeys(folder)));
    const texts = keys.map(({ publicKey }) => publicKey.export({ type: 'spki', format: 'pem' }));
    assert.equal(new Set(texts).size, 1);
    assert.deepEqual(await readdir(folder), ['token-key.pem']);
  });

  test('refuses a node that is no name, and a life that is too long', async () => {
    assert.equal(await run('--node', '../x', '--state-dir', folder, '--lifetime', '999d'), 2);
    assert.equal(printed, '');
  });
});
