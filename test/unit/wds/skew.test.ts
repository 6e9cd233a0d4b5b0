import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import { root } from '../../support/paths.ts';
import { readSample, record } from '../../support/protocol-samples.ts';
import type { Recording, Sample } from '../../support/protocol-samples.ts';
import { text, top } from '../../support/wire.ts';

const folder = `${root}test/support/fixtures/protocol`;
const recordings = readdirSync(folder).map(
  (file) => JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')) as Recording,
);

/** A field that no version has yet: at the end of the message, or in the object of JSON. */
function fromNewerPeer({ protocol, bytes }: Sample): Uint8Array {
  const written = Buffer.from(bytes, 'base64');
  if (protocol !== 'cni') return top(written, text(999, 'new'));
  return Buffer.from(JSON.stringify({ ...(JSON.parse(written.toString()) as object), newer: { field: 1 } }));
}

for (const { version, samples } of recordings) {
  describe(`agent and control plane, one of them of version ${version}`, () => {
    for (const sample of samples) {
      test(`${sample.name} means what it meant`, () => {
        const { meaning, problems } = readSample(sample, Buffer.from(sample.bytes, 'base64'));
        assert.deepEqual(problems, []);
        assertHolds(meaning, sample.meaning, sample.name);
      });

      if (sample.name.startsWith('policy ')) {
        test(`${sample.name} denies everything if it holds what we do not know`, () => {
          const { meaning, problems } = readSample(sample, fromNewerPeer(sample));
          assert.match(problems.join(), /not supported: it denies everything/);
          const { value } = meaning as { readonly value: { readonly action: string; readonly rules: unknown } };
          assert.deepEqual([value.action, value.rules], ['deny', [{ clauses: [] }]]);
        });
      } else {
        test(`${sample.name} may hold what we do not know`, () => {
          const { meaning, problems } = readSample(sample, fromNewerPeer(sample));
          assert.deepEqual(problems, []);
          assertHolds(meaning, sample.meaning, sample.name);
        });
      }
    }
  });
}

test('this version still writes every kind of what former ones wrote', () => {
  const written = new Set(record('now').samples.map(({ name }) => name));
  const missing = recordings.flatMap(({ samples }) => samples.filter(({ name }) => !written.has(name)));
  assert.deepEqual(missing, []);
});

/** What was recorded is there; newer versions may say more. */
function assertHolds(actual: unknown, recorded: unknown, place: string): void {
  if (typeof recorded !== 'object' || recorded === null || Array.isArray(recorded)) {
    assert.deepEqual(actual, recorded, place);
    return;
  }
  assert.ok(typeof actual === 'object' && actual !== null, place);
  for (const [name, value] of Object.entries(recorded)) {
    assertHolds((actual as Readonly<Record<string, unknown>>)[name], value, `${place}.${name}`);
  }
}
