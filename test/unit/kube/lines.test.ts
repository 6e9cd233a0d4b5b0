import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';
import { linesOf } from '../../../src/kube/lines.ts';

async function* inPieces(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((left, right) => left - right), bytes.length];
  for (const [index, end] of places.slice(1).entries()) {
    await Promise.resolve();
    yield bytes.subarray(places[index], end);
  }
}

async function collect(lines: AsyncIterable<string>): Promise<readonly string[]> {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

test('lines are the same wherever the bytes are cut, within a character too', async () => {
  const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ' '));
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.array(fc.nat()), async (lines, cuts) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
      assert.deepEqual(await collect(linesOf(inPieces(bytes, cuts), 10_000)), lines);
    }),
  );
});

test('what has no end is not given', async () => {
  assert.deepEqual(await collect(linesOf(inPieces(Buffer.from('a\nb'), [1]), 100)), ['a']);
});

test('a line that is too long is an error before it is there', async () => {
  const pieces = inPieces(Buffer.alloc(101, 'x'), [50]);
  await assert.rejects(collect(linesOf(pieces, 100)), { code: 'KUBERNETES_LINE_TOO_LONG' });
});
