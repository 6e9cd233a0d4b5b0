import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AmbitError, errorCode } from '../../config/errors.ts';

/** The key that signs tokens of agents, where no Kubernetes does. */
export interface TokenKeys {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const fileName = 'token-key.pem';

/**
 * The key in the state folder, made there where there is none yet.
 *
 * @throws AmbitError `STATE_DIR_UNUSABLE`
 */
export async function loadTokenKeys(stateDir: string): Promise<TokenKeys> {
  const path = join(stateDir, fileName);
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await createOnce(path);
    await checkPrivate(path);
    const privateKey = createPrivateKey(await readFile(path, 'utf8'));
    if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('not an ECDSA key on P-256');
    return { privateKey, publicKey: createPublicKey(privateKey) };
  } catch (cause) {
    if (cause instanceof AmbitError) throw cause;
    throw new AmbitError('STATE_DIR_UNUSABLE', `the key of tokens, ${path}, cannot be made or read`, { cause });
  }
}

/** Control and `ambit control token` may both be the first: only one of them makes the file, and nobody sees half of it. */
async function createOnce(path: string): Promise<void> {
  try {
    await stat(path);
    return;
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await writePrivately(draft, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await link(draft, path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function writePrivately(path: string, text: string | Buffer): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function checkPrivate(path: string): Promise<void> {
  const { mode } = await stat(path);
  if ((mode & 0o077) === 0) return;
  throw new AmbitError(
    'STATE_DIR_UNUSABLE',
    `others than its owner can read ${path}, and with it be every node: chmod 0600 ${path}, or delete it and give out new tokens`,
  );
}
