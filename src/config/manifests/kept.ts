import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AmbitError, errorCode } from '../errors.ts';
import { Concealed } from './concealed.ts';
import { readRaw } from './parse.ts';
import type { ManifestState, StoredDocument } from './store.ts';

/** The form of the file; another one is not read. */
const version = 1;
const fileName = 'manifests.json';
const largestFile = 128 * 1024 * 1024;

/**
 * The last good manifests of a former run; null where there are none.
 *
 * @throws AmbitError `STATE_DIR_UNUSABLE` where what is kept cannot be read or trusted.
 */
export async function loadKept(stateDir: string): Promise<ManifestState | null> {
  const path = join(stateDir, fileName);
  const text = await readKept(path);
  if (text === null) return null;
  const state = decode(text);
  if (state !== null) return state;
  throw new AmbitError('STATE_DIR_UNUSABLE', `${path} holds nothing that this version can read: remove it`);
}

/** Replaces what is kept, at once and durably, so that a crash leaves the old or the new. */
export async function saveKept(stateDir: string, state: ManifestState): Promise<void> {
  const path = join(stateDir, fileName);
  const draft = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await writeDurably(draft, encode(state));
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true });
    throw new AmbitError('STATE_DIR_UNUSABLE', `the last good manifests cannot be kept in ${path}`, { cause });
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  // A draft that a killed process left behind would make `wx` fail for ever.
  await rm(path, { force: true });
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Manifests decide who may reach whom, so a file that others could have written is not believed. */
async function readKept(path: string): Promise<string | null> {
  try {
    const found = await stat(path);
    const self = process.geteuid?.() ?? 0;
    if ((found.mode & 0o022) !== 0 || (found.uid !== self && found.uid !== 0) || found.size > largestFile) {
      throw new AmbitError(
        'STATE_DIR_UNUSABLE',
        `${path} could have been written by others, or is too large: remove it`,
      );
    }
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return null;
    if (cause instanceof AmbitError) throw cause;
    throw new AmbitError('STATE_DIR_UNUSABLE', `${path} cannot be read`, { cause });
  }
}

function encode(state: ManifestState): string {
  // Keys have one place on disk, which their owner has chosen.
  const written = [...state.values()].filter(({ raw }) => !(raw instanceof Concealed));
  const documents = written.map(
    ({ file, line, raw }) => `{"file":${JSON.stringify(file)},"line":${line},"raw":${textOf(raw)}}`,
  );
  return `{"version":${version},"documents":[${documents.join(',')}]}`;
}

/** By what was read: one change leaves thousands of others as they are, and it waits until all are written. */
const texts = new WeakMap<object, string>();

function textOf(raw: unknown): string {
  if (!isRecord(raw)) return JSON.stringify(raw);
  const known = texts.get(raw) ?? JSON.stringify(raw);
  texts.set(raw, known);
  return known;
}

/** Everything is validated again: the schemas may have become stricter since. null: not of our form. */
function decode(text: string): ManifestState | null {
  const parsed = parseJson(text);
  if (!isRecord(parsed) || parsed['version'] !== version || !Array.isArray(parsed['documents'])) return null;
  const documents = parsed['documents'].map(decodeDocument);
  if (documents.some((document) => document === null)) return null;
  return new Map(documents.flatMap((document) => (document === null ? [] : [[document.key, document] as const])));
}

function decodeDocument(entry: unknown): StoredDocument | null {
  if (!isRecord(entry)) return null;
  const { file, line, raw } = entry;
  if (typeof file !== 'string' || typeof line !== 'number') return null;
  const document = readRaw(file, line, raw);
  if (document?.resource == null) return null;
  return { key: document.key, file, line, raw, resource: document.resource };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
