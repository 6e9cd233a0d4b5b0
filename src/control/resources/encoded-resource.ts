import { createHash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { DeltaDiscoveryResponseSchema } from '../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';

/** A resource as it goes to every client: encoded once, its bytes shared by all streams. */
export interface EncodedResource {
  readonly name: string;
  /** Hash of the content: equal content has an equal version, also after a restart of the control plane. */
  readonly version: string;
  /**
   * The field `resources` of a response, with tag and length. A message is the concatenation of its fields, so a response
   * is made by putting such entries one after the other.
   */
  readonly entry: Uint8Array;
}

const versionLength = 16;

/** @param value the encoded message of that type */
export function encodeResource(name: string, typeUrl: string, value: Uint8Array): EncodedResource {
  const version = createHash('sha256').update(value).digest('base64url').slice(0, versionLength);
  const response = create(DeltaDiscoveryResponseSchema, {
    resources: [{ name, version, resource: { typeUrl, value } }],
  });
  return { name, version, entry: toBinary(DeltaDiscoveryResponseSchema, response) };
}
