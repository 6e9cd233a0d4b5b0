import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { coveringPatterns, covers, intersection } from '../../../../../src/envoy/gateways/routes/hostnames.ts';

const label = fc.constantFrom('a', 'b', 'com');
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
const pattern = fc.oneof(
  name,
  name.map((text) => `*.${text}`),
  fc.constant('*'),
);

/** By what a pattern means, host by host. */
function means(asked: string, host: string): boolean {
  return asked === '*' || asked === host || (asked.startsWith('*.') && host.endsWith(asked.slice(1)));
}

test('the intersection of two patterns means what both mean, whichever comes first', () => {
  fc.assert(
    fc.property(pattern, pattern, name, (left, right, host) => {
      const common = intersection(left, right);
      assert.equal(common, intersection(right, left));
      assert.equal(common !== null && means(common, host), means(left, host) && means(right, host));
    }),
  );
});

test('a pattern is covered by those that mean all of it', () => {
  fc.assert(
    fc.property(pattern, pattern, (left, right) => {
      assert.equal(coveringPatterns(left).includes(right), covers(right, left));
    }),
  );
});

test('a wildcard means any number of labels before its domain, and not the domain itself', () => {
  assert.equal(intersection('*.example.com', 'a.b.example.com'), 'a.b.example.com');
  assert.equal(intersection('*.example.com', 'example.com'), null);
  assert.equal(intersection('*.example.com', 'notexample.com'), null);
});
