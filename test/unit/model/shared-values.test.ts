import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedValues } from '../../../src/model/shared-values.ts';

/** More than both generations hold. */
const many = 10_000;

void test('Equal content gives the first object, other content its own', () => {
  const values = new SharedValues<object>();
  const first = { port: 80 };
  const other = { port: 81 };
  assert.equal(values.share('80', first), first);
  assert.equal(values.share('81', other), other);
  assert.equal(values.share('80', { port: 80 }), first);
});

void test('What comes again and again stays known, however much comes in between', () => {
  const values = new SharedValues<object>();
  const often = {};
  for (let index = 0; index < many; index++) {
    values.share(String(index), {});
    assert.equal(values.share('often', often), often);
  }
  assert.equal(values.share('often', {}), often);
});

void test('What did not come for long is forgotten', () => {
  const values = new SharedValues<object>();
  const once = values.share('once', {});
  for (let index = 0; index < many; index++) values.share(String(index), {});
  assert.notEqual(values.share('once', {}), once);
});
