import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { withinBounds } from '../../../../src/control/kubernetes/object-quota.ts';
import type { NamedReference } from '../../../../src/control/named-reference.ts';

const bounds = { inAll: 4, ofNamespace: 2 };

/** @param text `shop: Secret edge/a`, with `@5` after it what was named then */
function named(text: string): NamedReference {
  const [, by = '', object = '', since = '0'] = /^(\S+): (\S+ [^@]+)(?:@(\d+))?$/.exec(text) ?? [];
  return { object, by, since: Number(since) };
}

function within(texts: readonly string[], limits = bounds): readonly string[] {
  return [...withinBounds(texts.map(named), limits).within.keys()].toSorted();
}

describe('the quota of objects that are read by their names', () => {
  test('is that of the namespace that names them, not of the one that has them', () => {
    const many = ['a', 'b', 'c', 'd'].map((name) => `tenant: Secret edge/${name}`);
    const found = within([...many, 'edge: Secret edge/x', 'edge: Secret edge/y']);
    assert.deepEqual(found, ['Secret edge/a', 'Secret edge/b', 'Secret edge/x', 'Secret edge/y']);
  });

  test('tells what is beyond it', () => {
    const { beyond } = withinBounds(
      ['a', 'b', 'c'].map((name) => named(`shop: Secret shop/${name}`)),
      bounds,
    );
    assert.deepEqual([...beyond], ['Secret shop/c']);
  });

  test('has room first for what is of the same namespace, then for what was named first', () => {
    assert.deepEqual(within(['shop: Secret edge/a@1', 'shop: Secret shop/y@9', 'shop: Secret shop/z@3']), [
      'Secret shop/y',
      'Secret shop/z',
    ]);
    assert.deepEqual(within(['shop: Secret shop/a@9', 'shop: Secret shop/y@2', 'shop: Secret shop/z@1']), [
      'Secret shop/y',
      'Secret shop/z',
    ]);
  });

  test('does not depend on the order in which they came', () => {
    const texts = ['d', 'b', 'a', 'c'].map((name) => `shop: Secret shop/${name}`);
    assert.deepEqual(within(texts), within(texts.toReversed()));
  });

  test('of all goes round the namespaces, so that several do not use up those of another', () => {
    const greedy = ['one', 'two', 'three'].flatMap((by) => [`${by}: Secret ${by}/a`, `${by}: Secret ${by}/b`]);
    assert.ok(within([...greedy, 'shop: Secret shop/z@9']).includes('Secret shop/z'));
    assert.equal(within([...greedy, 'shop: Secret shop/z@9']).length, 4);
  });

  test('of ConfigMaps is another one', () => {
    const maps = ['a', 'b', 'c'].map((name) => `shop: ConfigMap shop/${name}`);
    assert.ok(within([...maps, 'shop: Secret shop/z']).includes('Secret shop/z'));
  });

  test('counts what several name where there is room for it', () => {
    const found = within([
      'tenant: Secret edge/a',
      'tenant: Secret edge/b',
      'tenant: Secret edge/x',
      'edge: Secret edge/x',
    ]);
    assert.ok(found.includes('Secret edge/x'));
  });
});
