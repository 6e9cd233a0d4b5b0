import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { covers, overlaid } from '../../../../src/control/waypoints/object-difference.ts';

describe('what is present covers what is wanted', () => {
  it('with more beside it, in maps and in lists of named items', () => {
    const wanted = { spec: { list: [{ name: 'a', value: 1 }] } };
    assert.ok(
      covers({ kind: 'x', spec: { more: true, list: [{ name: 'b' }, { name: 'a', value: 1, set: 2 }] } }, wanted),
    );
  });

  it('not with another value, a missing item, or a missing field', () => {
    assert.equal(covers({ a: 2 }, { a: 1 }), false);
    assert.equal(covers({ list: [{ name: 'b' }] }, { list: [{ name: 'a' }] }), false);
    assert.equal(covers({}, { a: { b: 1 } }), false);
  });

  it('not with more items in a list without names', () => {
    assert.equal(covers({ list: ['a', 'b'] }, { list: ['a'] }), false);
    assert.ok(covers({ list: [{ port: 1, extra: true }] }, { list: [{ port: 1 }] }));
  });

  it('where an empty list is wanted and none is there, as the API server leaves it out', () => {
    assert.ok(covers({}, { list: [] }));
  });
});

describe('an overlay', () => {
  it('grows into maps and named items, and puts other values in their place', () => {
    const below = { a: { kept: 1, list: [1, 2], named: [{ name: 'x', image: 'i', cpu: 1 }] } };
    const above = { a: { list: [3], named: [{ name: 'x', cpu: 2 }, { name: 'y' }] } };
    assert.deepEqual(overlaid(below, above), {
      a: { kept: 1, list: [3], named: [{ name: 'x', image: 'i', cpu: 2 }, { name: 'y' }] },
    });
  });

  it('takes away what is null', () => {
    assert.deepEqual(overlaid({ a: 1, b: { c: 1 } }, { a: null, b: { c: null } }), { b: {} });
  });
});
