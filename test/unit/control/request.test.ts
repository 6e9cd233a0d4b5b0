import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { readRequest } from '../../../src/control/discovery/request.ts';
import { DeltaDiscoveryRequestSchema } from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';

const requests = fc.record({
  typeUrl: fc.string(),
  resourceNamesSubscribe: fc.array(fc.string({ unit: 'binary' })),
  initialResourceVersions: fc.dictionary(fc.string({ unit: 'binary' }), fc.string(), { noNullPrototype: true }),
  responseNonce: fc.string(),
});

test('a request is read as it was written, what is held apart from the rest', () => {
  fc.assert(
    fc.property(requests, (fields) => {
      const message = create(DeltaDiscoveryRequestSchema, fields);
      const { held, ...rest } = readRequest(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message)));
      assert.deepEqual(new Map(held), new Map(Object.entries(fields.initialResourceVersions)));
      assert.deepEqual(rest, { ...message, initialResourceVersions: {} });
    }),
  );
});

test('bytes that are no request are refused, and nothing else happens', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        assert.ok([...readRequest(Buffer.from(bytes)).held].length <= bytes.length);
      } catch (error) {
        assert.ok(error instanceof Error && !(error instanceof assert.AssertionError), String(error));
      }
    }),
  );
});

for (const [what, bytes] of [
  ['a length beyond the end', [0x2a, 0x05, 0x0a]],
  ['a number without an end', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ['a group', [0x2b]],
  ['field 0', [0x02, 0x00]],
] as const) {
  test(`${what} is refused`, () => {
    assert.throws(() => readRequest(Buffer.from(bytes)), RangeError);
  });
}
