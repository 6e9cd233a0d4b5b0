import type { Stats } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AmbitError, errorCode } from '../config/errors.ts';

/** What a folder of Istio's `cacerts` form holds; all PEM. */
export interface AuthorityFiles {
  readonly rootCertificate: string;
  readonly certificate: string;
  readonly key: string;
  readonly chain: string;
}

/** Names within the folder. The root's key lies in a folder of its own, so that it can be taken away from a node. */
export const authorityFileNames = {
  rootCertificate: 'root-cert.pem',
  certificate: 'ca-cert.pem',
  key: 'ca-key.pem',
  chain: 'cert-chain.pem',
  rootKey: 'root/root-key.pem',
} as const;

const largestFile = 1024 * 1024;
const othersMayWrite = 0o022;
const othersMayAnything = 0o077;
const stickyBit = 0o1000;

/** What becomes of files that others may read; null: they are refused. */
export type OnReadable = ((message: string) => void) | null;

/** @throws AmbitError `CA_UNREADABLE` or `CA_INSECURE`; the latter always where others may write. */
export async function readAuthorityFiles(directory: string, onReadable: OnReadable): Promise<AuthorityFiles> {
  await check(directory, { secret: true, mode: '0700', onReadable });
  const { rootCertificate, certificate, key, chain } = authorityFileNames;
  const open = (name: string): Promise<string> =>
    read(join(directory, name), { secret: false, mode: '0600', onReadable });
  return {
    rootCertificate: await open(rootCertificate),
    certificate: await open(certificate),
    key: await read(join(directory, key), { secret: true, mode: '0600', onReadable }),
    chain: await open(chain),
  };
}

/**
 * Makes the folder with all of its files at once: written beside it, then renamed, so that nobody ever sees a half.
 *
 * @throws AmbitError `CA_EXISTS` where something is there already, `CA_UNREADABLE` where it cannot be written.
 */
export async function writeAuthorityFiles(directory: string, files: ReadonlyMap<string, string>): Promise<void> {
  await mkdir(dirname(directory), { recursive: true }).catch((cause: unknown) => failWriting(directory, cause));
  const draft = await mkdtemp(`${directory}.`).catch((cause: unknown) => failWriting(directory, cause));
  try {
    for (const [name, text] of files) await writePrivately(join(draft, name), text);
    await rename(draft, directory);
  } catch (cause) {
    await rm(draft, { recursive: true, force: true });
    failWriting(directory, cause);
  }
}

async function writePrivately(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

function failWriting(directory: string, cause: unknown): never {
  if (['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errorCode(cause) ?? '')) {
    throw new AmbitError('CA_EXISTS', `${directory} is there already and not an empty folder: nothing was written`, {
      cause,
    });
  }
  throw new AmbitError('CA_UNREADABLE', `the CA folder ${directory} cannot be written`, { cause });
}

interface Protection {
  /** Others may not even read it. */
  readonly secret: boolean;
  /** What it should be, for messages. */
  readonly mode: string;
  readonly onReadable: OnReadable;
}

async function read(path: string, protection: Protection): Promise<string> {
  await check(path, protection);
  return readFile(path, 'utf8').catch((cause: unknown) => failReading(path, cause));
}

async function check(path: string, { secret, mode, onReadable }: Protection): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => failReading(path, cause));
  const message = modeProblem(path, found.mode, mode);
  if (mayBeWritten(found)) throw new AmbitError('CA_INSECURE', message);
  if (secret && (found.mode & othersMayAnything) !== 0) {
    if (onReadable === null) throw new AmbitError('CA_INSECURE', message);
    onReadable(message);
  }
  const self = process.geteuid?.() ?? 0;
  if (found.uid !== self && found.uid !== 0) {
    throw new AmbitError(
      'CA_INSECURE',
      `${path} belongs to uid ${found.uid}, who can change it: chown it to uid ${self} or root`,
    );
  }
  if (found.isFile() && found.size > largestFile) throw new AmbitError('CA_INVALID', `${path} is larger than 1 MiB`);
}

/** In a folder with the sticky bit, as Kubernetes mounts secrets, nobody can replace what is not their own. */
function mayBeWritten(found: Stats): boolean {
  const sticky = found.isDirectory() && (found.mode & stickyBit) !== 0;
  return !sticky && (found.mode & othersMayWrite) !== 0;
}

function modeProblem(path: string, found: number, wanted: string): string {
  const now = (found & 0o1777).toString(8).padStart(4, '0');
  return `${path} has mode ${now}, so others than its owner get at the CA: chmod ${wanted} ${path}`;
}

function failReading(path: string, cause: unknown): never {
  const hint =
    errorCode(cause) === 'ENOENT'
      ? ': is it a folder made by `ambit ca init`, or one with the files of Istio’s cacerts?'
      : '';
  throw new AmbitError('CA_UNREADABLE', `${path} cannot be read${hint}`, { cause });
}
