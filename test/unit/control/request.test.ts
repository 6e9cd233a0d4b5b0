import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { readRequest } from '../../../src/control/discovery/request.ts';
import type { HeldVersions } from '../../../src/control/discovery/request.ts';
import { DeltaDiscoveryRequestSchema } from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';

const requests = fc.record({
  typeUrl: fc.string(),
  resourceNamesSubscribe: fc.array(fc.string({ unit: 'binary' })),
  initialResourceVersions: fc.dictionary(fc.string({ unit: 'binary' }), fc.string(), { noNullPrototype: true }),
  responseNonce: fc.string(),
});

function entries(held: HeldVersions): [string, string][] {
  const all: [string, string][] = [];
  while (held.next()) all.push([held.name, held.version]);
  return all;
}

test('a request is read as it was written, what is held apart from the rest', () => {
  fc.assert(
    fc.property(requests, (fields) => {
      const message = create(DeltaDiscoveryRequestSchema, fields);
      const { held, ...rest } = readRequest(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message)));
      assert.deepEqual(new Map(entries(held)), new Map(Object.entries(fields.initialResourceVersions)));
      assert.deepEqual(rest, { ...message, initialResourceVersions: {} });
    }),
  );
});

test('a version is compared as it is written', () => {
  const message = create(DeltaDiscoveryRequestSchema, { initialResourceVersions: { 'a/b': 'abcd' } });
  const { held } = readRequest(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message)));
  assert.ok(held.next());
  assert.ok(held.hasVersion('abcd'));
  for (const other of ['', 'abc', 'abcde', 'abce']) assert.ok(!held.hasVersion(other));
});

test('bytes that are no request are refused, and nothing else happens', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        assert.ok(entries(readRequest(Buffer.from(bytes)).held).length <= bytes.length);
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

test('a request of more names than anybody needs is refused before texts are made of them', () => {
  const empty = Buffer.from([DeltaDiscoveryRequestSchema.field.resourceNamesSubscribe.number * 8 + 2, 0]);
  const request = (names: number): Buffer => Buffer.concat(Array.from({ length: names }, () => empty));
  assert.equal(readRequest(request(100_000)).resourceNamesSubscribe.length, 100_000);
  assert.throws(() => readRequest(request(100_001)), /more than 100000 names/);
});
