import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatPrincipal, formatSpiffeId, parseSpiffeId } from '../../../src/model/identity.ts';

void describe('a SPIFFE ID', () => {
  test('has a trust domain, a namespace and a service account', () => {
    const id = parseSpiffeId('spiffe://cluster.local/ns/shop/sa/web');
    assert.deepEqual(id, { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'web' });
  });

  test('reads back as it was written', () => {
    const id = { trustDomain: 'td_1.example-x', namespace: 'a', serviceAccount: 'b.c' };
    assert.deepEqual(parseSpiffeId(formatSpiffeId(id)), id);
    assert.equal(formatPrincipal(id), 'td_1.example-x/ns/a/sa/b.c');
  });

  for (const text of [
    '',
    'cluster.local/ns/a/sa/b',
    'SPIFFE://td/ns/a/sa/b',
    'spiffe://td/ns/a/sa/b/',
    'spiffe://td/ns/a/sa/b/c',
    'spiffe://td/ns/a/sa',
    'spiffe://td//ns/a/sa/b',
    'spiffe:///ns/a/sa/b',
    'spiffe://td/ns//sa/b',
    'spiffe://td/ns/a/sa/',
    'spiffe://td/sa/a/ns/b',
    'spiffe://td/ns/a/SA/b',
    'spiffe://td:1/ns/a/sa/b',
    'spiffe://u@td/ns/a/sa/b',
    'spiffe://td/ns/a/sa/b?x',
    'spiffe://td/ns/a%2f/sa/b',
    'spiffe://td/ns/../sa/b',
    'spiffe://td/ns/a/sa/b\n',
    ' spiffe://td/ns/a/sa/b',
  ]) {
    test(`is not ${JSON.stringify(text)}`, () => {
      assert.equal(parseSpiffeId(text), null);
    });
  }
});
