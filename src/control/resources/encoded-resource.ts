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
  /**
   * The field `resources` of a response, with tag and length. A message is the concatenation of its fields, so a response
   * is made by putting such entries one after the other.
   */
  readonly entry: Uint8Array;
}

/** A resource among others. */
export interface StoredResource extends EncodedResource {
  /**
   * A small number that no other resource has while this one is there, so that a set of resources is an array; null for those of
   * which no client can have all.
   */
  readonly slot: number | null;
}

const versionLength = 16;
const responseFields = DeltaDiscoveryResponseSchema.field;
const resourceFields = ResourceSchema.field;
const anyFields = AnySchema.field;

/** Used over and over: a new one for each resource would cost more than what it writes. */
const writer = new BinaryWriter();

/** @param value the encoded message of that type */
export function encodeResource(name: string, typeUrl: string, value: Uint8Array): EncodedResource {
  const version = createHash('sha256').update(value).digest('base64url').slice(0, versionLength);
  begin(responseFields.resources).fork();
  begin(resourceFields.version).string(version);
  begin(resourceFields.resource).fork();
  begin(anyFields.typeUrl).string(typeUrl);
  begin(anyFields.value).bytes(value);
  writer.join();
  begin(resourceFields.name).string(name);
  writer.join();
  return { version, entry: writer.finish() };
}

function begin({ number }: { readonly number: number }): BinaryWriter {
  return writer.tag(number, WireType.LengthDelimited);
}
