import { fromBinary } from '@bufbuild/protobuf';
import type { DeltaDiscoveryRequest } from '../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { DeltaDiscoveryRequestSchema } from '../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { FieldCursor, wireTypes } from '../../proto/field-cursor.ts';

/** Name and version of what a client holds. */
export type HeldVersions = Iterable<readonly [name: string, version: string]>;

/** A request whose `initial_resource_versions` are left as they came: the map itself stays empty. */
export type DiscoveryRequest = DeltaDiscoveryRequest & {
  readonly held: HeldVersions;
};

const { number: versionsField } = DeltaDiscoveryRequestSchema.field.initialResourceVersions;
/** Of an entry of a map, in any message. */
const entryFields = { key: 1, value: 2 } as const;

/**
 * A client that comes back names all that it holds, which may be 100,000 resources: read at one go they would stop everything
 * else for a while, so they are only read as `held` is gone through. @throws RangeError where the bytes are no message
 */
export function readRequest(bytes: Buffer): DiscoveryRequest {
  const rest: Buffer[] = [];
  const cursor = new FieldCursor(bytes, 0, bytes.length);
  for (let from = 0; cursor.next(); from = cursor.end)
    if (cursor.field !== versionsField) rest.push(bytes.subarray(from, cursor.end));
  const request = fromBinary(DeltaDiscoveryRequestSchema, Buffer.concat(rest), { readUnknownFields: false });
  return { ...request, held: { [Symbol.iterator]: () => readVersions(bytes) } };
}

function* readVersions(bytes: Buffer): Generator<readonly [string, string]> {
  const cursor = new FieldCursor(bytes, 0, bytes.length);
  while (cursor.next()) {
    if (cursor.field !== versionsField || cursor.type !== wireTypes.lengthDelimited) continue;
    yield readEntry(bytes, cursor.start, cursor.end);
  }
}

function readEntry(bytes: Buffer, start: number, end: number): readonly [string, string] {
  let key = '';
  let value = '';
  const cursor = new FieldCursor(bytes, start, end);
  while (cursor.next()) {
    if (cursor.type !== wireTypes.lengthDelimited) continue;
    if (cursor.field === entryFields.key) key = bytes.toString('utf8', cursor.start, cursor.end);
    else if (cursor.field === entryFields.value) value = bytes.toString('utf8', cursor.start, cursor.end);
  }
  return [key, value];
}
