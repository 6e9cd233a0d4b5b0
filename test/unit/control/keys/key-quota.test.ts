import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mostOfMesh, mostOfNamespace, withinQuota } from '../../../../src/control/keys/key-quota.ts';
import type { KeySource } from '../../../../src/envoy/security/context.ts';

const many = (count: number, prefix: string): readonly KeySource[] =>
  Array.from({ length: count }, (_, index) => ({ kind: 'keys', url: `https://${prefix}.example/${index}` }));
const nobody = new Set<string>();

void test('a namespace has so many places of keys, and is told of the rest', () => {
  const wishes = new Map([
    ['shop/a', many(mostOfNamespace, 'a')],
    ['shop/b', many(2, 'b')],
    ['bank/a', many(1, 'c')],
  ]);
  const { wanted, refused } = withinQuota(wishes, nobody);
  assert.equal(wanted.size, mostOfNamespace + 1);
  assert.deepEqual([...refused.keys()], ['keys https://b.example/0', 'keys https://b.example/1']);
  assert.match([...refused.values()].join(), /shop names more than 32/);
});

void test('a place counts once, however often it is named, and is fetched where anybody may name it', () => {
  const wishes = new Map([
    ['shop/a', many(mostOfNamespace + 1, 'a')],
    ['shop/b', many(mostOfNamespace, 'a')],
    ['bank/a', many(mostOfNamespace + 1, 'a').slice(-1)],
  ]);
  const { wanted, refused } = withinQuota(wishes, nobody);
  assert.equal(wanted.size, mostOfNamespace + 1);
  assert.equal(refused.size, 0);
});

void test('of all namespaces together those that are fetched already stay', () => {
  const wishes = new Map(
    Array.from({ length: 40 }, (_, index) => [`n${index}/a`, many(mostOfNamespace, `n${index}`)] as const),
  );
  const last = 'keys https://n9.example/31';
  const { wanted, refused } = withinQuota(wishes, new Set([last]));
  assert.equal(wanted.size, mostOfMesh);
  assert.ok(wanted.has(last));
  assert.equal(refused.size, 40 * mostOfNamespace - mostOfMesh);
});
