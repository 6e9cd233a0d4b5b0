import { createHash } from 'node:crypto';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import {
  DeltaDiscoveryResponseSchema,
  ResourceSchema,
} from '../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';

/** A resource as it goes to every client: encoded once, its bytes shared by all streams. */
export interface EncodedResource {
  /** Hash of the content: equal content has an equal version, also after a restart of the control plane. */
  readonly version: string;
  /** The field `resources` of a response, with tag and length, byte by character: see `joinEntries`. */
  readonly entry: string;
}

/** A resource among others. */
export interface StoredResource extends EncodedResource {
  /**
   * A small number that no other resource has while this one is there, so that a set of resources is an array; null for those of
   * which no client can have all.
   */
  readonly slot: number | null;
}

/** Of the hash; encoded by themselves, for a piece of a text keeps all of that text in memory. */
const versionBytes = 12;
const responseFields = DeltaDiscoveryResponseSchema.field;
const resourceFields = ResourceSchema.field;
const anyFields = AnySchema.field;

/** Used over and over: a new one for each resource would cost more than what it writes. */
const writer = new BinaryWriter();

/** @param value the encoded message of that type; @param mark ends the version, for whoever reads something from it */
export function encodeResource(name: string, typeUrl: string, value: Uint8Array, mark = ''): EncodedResource {
  const version = shortHash(value) + mark;
  begin(responseFields.resources).fork();
  begin(resourceFields.version).string(version);
  begin(resourceFields.resource).fork();
  begin(anyFields.typeUrl).string(typeUrl);
  begin(anyFields.value).bytes(value);
  writer.join();
  begin(resourceFields.name).string(name);
  writer.join();
  const { buffer, byteOffset, byteLength } = writer.finish();
  // Half a kilobyte, a hundred thousand times: each as a buffer of its own would take 180 bytes more in the heap alone.
  return { version, entry: Buffer.from(buffer, byteOffset, byteLength).toString('latin1') };
}

export function shortHash(value: Uint8Array): string {
  return createHash('sha256').update(value).digest().toString('base64url', 0, versionBytes);
}

/**
 * A response that begins with `head`. A message is the concatenation of its fields, so it is made by putting entries one
 * after the other.
 */
export function joinEntries(head: Uint8Array, entries: readonly string[]): Uint8Array {
  const length = entries.reduce((sum, entry) => sum + entry.length, head.length);
  const response = Buffer.allocUnsafe(length);
  response.set(head);
  let end = head.length;
  for (const entry of entries) end += response.write(entry, end, 'latin1');
  return response;
}

function begin({ number }: { readonly number: number }): BinaryWriter {
  return writer.tag(number, WireType.LengthDelimited);
}
