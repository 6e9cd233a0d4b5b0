import {
  DeltaDiscoveryResponseSchema,
  ResourceSchema,
} from '../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { FieldCursor } from '../../src/proto/field-cursor.ts';

/** A response, of which only what a count needs was read. */
export interface LightResponse {
  readonly type: string;
  readonly nonce: string;
  readonly complete: boolean;
  readonly count: number;
  /** Sum over the versions. */
  readonly digest: number;
  /** Name and version of each resource, where they were wanted. */
  readonly names: readonly (readonly [string, string])[];
  readonly removed: readonly string[];
}

const responseFields = DeltaDiscoveryResponseSchema.field;
const resourceFields = ResourceSchema.field;

/** @param withNames also gives the names, which costs the most */
export function readResponse(bytes: Buffer, withNames: boolean): LightResponse {
  const texts = new Map<number, string>();
  const removed: string[] = [];
  const names: (readonly [string, string])[] = [];
  let count = 0;
  let digest = 0;
  const cursor = new FieldCursor(bytes, 0, bytes.length);
  while (cursor.next()) {
    const { field, start, end } = cursor;
    if (field === responseFields.resources.number) {
      const { name, version } = readResource(bytes, start, end);
      count++;
      digest += version.length >= 4 ? version.readUInt32LE() : 0;
      if (withNames) names.push([name.toString(), version.toString()]);
    } else if (field === responseFields.removedResources.number) removed.push(bytes.toString('utf8', start, end));
    else texts.set(field, bytes.toString('utf8', start, end));
  }
  const text = ({ number }: { readonly number: number }): string => texts.get(number) ?? '';
  const { typeUrl, nonce, systemVersionInfo } = responseFields;
  const complete = text(systemVersionInfo) === '';
  return { type: text(typeUrl), nonce: text(nonce), complete, count, digest, names, removed };
}

function readResource(bytes: Buffer, start: number, end: number): { readonly name: Buffer; readonly version: Buffer } {
  let name = bytes.subarray(0, 0);
  let version = name;
  const cursor = new FieldCursor(bytes, start, end);
  while (cursor.next()) {
    if (cursor.field === resourceFields.name.number) name = bytes.subarray(cursor.start, cursor.end);
    else if (cursor.field === resourceFields.version.number) version = bytes.subarray(cursor.start, cursor.end);
  }
  return { name, version };
}
