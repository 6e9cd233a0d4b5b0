import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LookupTurns } from '../../../../src/ztunnel/names/lookup-turns.ts';

function taken(turns: LookupTurns<string>): readonly string[] {
  const items: string[] = [];
  for (let next = turns.take(); next !== null; next = turns.take()) items.push(next.item);
  return items;
}

test('there are no more under way than may be, and no more of one', () => {
  const turns = new LookupTurns<string>(3, 2);
  for (const item of ['a1', 'a2', 'a3']) turns.add('a', item);
  for (const item of ['b1', 'b2']) turns.add('b', item);
  assert.deepEqual(taken(turns), ['a1', 'b1', 'a2']);
});

test('who has ended makes room, of his own as of all', () => {
  const turns = new LookupTurns<string>(2, 1);
  for (const item of ['a1', 'a2']) turns.add('a', item);
  assert.deepEqual(taken(turns), ['a1']);
  turns.end('a');
  assert.deepEqual(taken(turns), ['a2']);
});

test('whose turn it was comes after all others', () => {
  const turns = new LookupTurns<string>(1, 1);
  for (const item of ['a1', 'a2']) turns.add('a', item);
  turns.add('b', 'b1');
  const order: string[] = [];
  for (let next = turns.take(); next !== null; next = turns.take()) {
    order.push(next.item);
    turns.end(next.namespace);
  }
  assert.deepEqual(order, ['a1', 'b1', 'a2']);
});
