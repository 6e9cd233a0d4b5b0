import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { sizeDelimitedDecodeStream, sizeDelimitedEncode } from '@bufbuild/protobuf/wire';
import { z } from 'zod';
import { AmbitError, errorCode } from '../config/errors.ts';
import { ResourceSchema } from '../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { Slices } from '../timing/slices.ts';
import type { SubscribedType } from './resources.ts';
import { isSubscribedType } from './resources.ts';

/** What is kept says of itself. */
export interface KeptHeader {
  readonly node: string;
  readonly clusterId: string;
  /** Of the agent that kept it: what another one did not understand of the resources is not in it. */
  readonly version: string;
  /** `host:port` of the control plane. */
  readonly control: string;
  /** It was ours, not a stock one. */
  readonly own: boolean;
  /** Only addresses that were asked for are in it. */
  readonly onDemand: boolean;
  /** Those addresses, also the ones that nobody has. */
  readonly addresses: readonly string[];
  /** When the control plane last stood behind it. Milliseconds since the epoch. */
  readonly asOf: number;
}

/** A resource as the control plane gave it, as far as it is in force. */
export interface KeptResource {
  readonly typeUrl: SubscribedType;
  readonly name: string;
  /** Empty: the control plane was told that something is wrong with it, so it does not count as held. */
  readonly version: string;
  readonly value: Uint8Array;
}

export interface KeptState {
  readonly header: KeptHeader;
  readonly resources: AsyncIterable<KeptResource>;
}

/** The form of the file; another one is not read. */
const magic = Buffer.from('ambit-control-state 1\n');
const digestLength = 32;
const largestFile = 512 * 1024 * 1024;
const chunkSize = 256 * 1024;
const newline = 10;

const headerSchema: z.ZodType<KeptHeader> = z.strictObject({
  node: z.string(),
  clusterId: z.string(),
  version: z.string(),
  control: z.string(),
  own: z.boolean(),
  onDemand: z.boolean(),
  addresses: z.array(z.string()),
  asOf: z.number(),
});

/** Replaces what is kept, at once and durably: a crash leaves the old or the new. */
export async function saveKeptState(
  path: string,
  header: KeptHeader,
  resources: Iterable<KeptResource>,
): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await rm(draft, { force: true });
    const file = await open(draft, 'wx', 0o600);
    try {
      await writeAll(file, header, resources);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true });
    throw new AmbitError('KEPT_STATE_UNWRITABLE', `the state of the control plane cannot be kept in ${path}`, {
      cause,
    });
  }
}

async function writeAll(file: FileHandle, header: KeptHeader, resources: Iterable<KeptResource>): Promise<void> {
  const hash = createHash('sha256');
  const slices = new Slices();
  let parts: Uint8Array[] = [magic, Buffer.from(`${JSON.stringify(header)}\n`)];
  let size = 0;
  const flush = async (): Promise<void> => {
    const bytes = Buffer.concat(parts);
    parts = [];
    size = 0;
    hash.update(bytes);
    await file.writeFile(bytes);
  };
  for (const resource of resources) {
    const bytes = encode(resource);
    parts.push(bytes);
    size += bytes.length;
    if (size >= chunkSize) await flush();
    if (slices.exhausted) await slices.pause();
  }
  await flush();
  await file.writeFile(hash.digest());
}

/**
 * What a former run kept; null where there is nothing.
 *
 * @throws AmbitError `KEPT_STATE_UNUSABLE` where it is damaged, of another form, or could have been written by others
 */
export async function loadKeptState(path: string): Promise<KeptState | null> {
  const bytes = await readTrusted(path);
  if (bytes === null) return null;
  const body = bytes.subarray(0, bytes.length - digestLength);
  if (!body.subarray(0, magic.length).equals(magic)) throw unusable(path, 'is of another form');
  if (!createHash('sha256').update(body).digest().equals(bytes.subarray(body.length)))
    throw unusable(path, 'is damaged');
  const end = body.indexOf(newline, magic.length);
  const header = headerSchema.safeParse(parseJson(body.toString('utf8', magic.length, Math.max(end, magic.length))));
  if (!header.success) throw unusable(path, 'is of another form');
  return { header: header.data, resources: decodeAll(body.subarray(end + 1)) };
}

/** State decides who may reach whom, so a file that others could have written is not believed. */
async function readTrusted(path: string): Promise<Buffer | null> {
  try {
    const file = await open(path, 'r');
    try {
      // Of what was opened, not of the name: that may stand for another file a moment later.
      const found = await file.stat();
      const self = process.geteuid?.() ?? 0;
      if ((found.mode & 0o022) !== 0 || (found.uid !== self && found.uid !== 0)) {
        throw unusable(path, 'could have been written by others');
      }
      if (found.size > largestFile) throw unusable(path, 'is too large');
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return null;
    if (cause instanceof AmbitError) throw cause;
    throw new AmbitError('KEPT_STATE_UNUSABLE', `${path} cannot be read`, { cause });
  }
}

function encode({ typeUrl, name, version, value }: KeptResource): Uint8Array {
  return sizeDelimitedEncode(ResourceSchema, create(ResourceSchema, { name, version, resource: { typeUrl, value } }));
}

async function* decodeAll(body: Buffer): AsyncGenerator<KeptResource> {
  for await (const { name, version, resource } of sizeDelimitedDecodeStream(ResourceSchema, chunks(body))) {
    const typeUrl = resource?.typeUrl ?? '';
    if (resource !== undefined && isSubscribedType(typeUrl)) yield { typeUrl, name, version, value: resource.value };
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- the decoder takes nothing else
async function* chunks(body: Buffer): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < body.length; start += chunkSize) yield body.subarray(start, start + chunkSize);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function unusable(path: string, what: string): AmbitError {
  return new AmbitError('KEPT_STATE_UNUSABLE', `${path} ${what}`);
}
