import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AmbitError, describeError, errorCode } from '../errors.ts';

/** A file as it was read, or why it could not be. */
export type ReadFile =
  | { readonly ok: true; readonly file: string; readonly text: string; readonly hash: string }
  | { readonly ok: false; readonly file: string; readonly message: string };

export interface ReadLimits {
  readonly fileBytes: number;
  readonly totalBytes: number;
  readonly files: number;
}

export const defaultReadLimits: ReadLimits = {
  fileBytes: 16 * 1024 * 1024,
  totalBytes: 64 * 1024 * 1024,
  files: 1000,
};

/**
 * The manifests of a file or a folder, sorted by name. Hidden entries are passed over: editors keep drafts in them, and
 * Kubernetes the versions of a mounted ConfigMap, which the visible links lead into.
 *
 * @throws AmbitError `MANIFESTS_UNREADABLE` where PATH itself cannot be read or holds too much: nothing is known then.
 */
export async function readManifestFiles(
  path: string,
  limits: ReadLimits,
  signal?: AbortSignal,
): Promise<readonly ReadFile[]> {
  const names = await listFiles(path, limits);
  const files: ReadFile[] = [];
  let total = 0;
  for (const name of names) {
    signal?.throwIfAborted();
    const file = await readOne(name, limits.fileBytes);
    if (file === null) continue;
    total += file.ok ? file.text.length : 0;
    if (total > limits.totalBytes) throw unreadable(path, `its files hold more than ${limits.totalBytes} bytes`);
    files.push(file);
  }
  return files;
}

async function listFiles(path: string, limits: ReadLimits): Promise<readonly string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const names = (await readdir(path)).filter(isManifestName).sort();
    if (names.length > limits.files) throw unreadable(path, `it holds more than ${limits.files} files`);
    return names.map((name) => join(path, name));
  } catch (cause) {
    if (cause instanceof AmbitError) throw cause;
    throw unreadable(path, null, cause);
  }
}

function isManifestName(name: string): boolean {
  return !basename(name).startsWith('.') && /\.(ya?ml|json)$/i.test(name);
}

/** null: deleted since it was listed, or a folder. */
async function readOne(file: string, limit: number): Promise<ReadFile | null> {
  try {
    // Without O_NONBLOCK, opening a pipe that lies in the folder would wait for its other end for ever.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { size } = await handle.stat().then((found) => (found.isFile() ? found : { size: null }));
      if (size === null) return null;
      if (size > limit) return { ok: false, file, message: `is larger than ${limit} bytes` };
      const bytes = await handle.readFile();
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      return { ok: true, file, text, hash: createHash('sha256').update(bytes).digest('hex') };
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    return { ok: false, file, message: `cannot be read: ${describeError(error)}` };
  }
}

function unreadable(path: string, why: string | null, cause?: unknown): AmbitError {
  const reason = why ?? 'is it there, and may this process read it?';
  return new AmbitError('MANIFESTS_UNREADABLE', `the manifests at ${path} cannot be read: ${reason}`, { cause });
}
