import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';

import { keysIn, readKeySet } from '../../../src/envoy/security/key-set.ts';

const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
const edwards = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
const secret = { kty: 'oct', k: 'c2VjcmV0' };

function left(...keys: readonly unknown[]): readonly unknown[] {
  const { keys: text } = readKeySet(keys);
  return text === null ? [] : (keysIn(text) ?? []);
}

describe('the keys of an issuer', () => {
  test('are handed on with nothing but what Envoy reads', () => {
    const more = { use: 'sig', x5c: ['a'], kid: 'one' };
    assert.deepEqual(left({ ...curve, ...more, alg: 'ES256' }), [{ ...curve, kid: 'one', alg: 'ES256' }]);
    assert.deepEqual(left({ ...rsa, alg: 'PS512' }), [{ ...rsa, alg: 'PS512' }]);
    assert.deepEqual(left(edwards, secret), [edwards, secret]);
  });

  test('are written in one way', () => {
    assert.deepEqual(left({ ...secret, k: 'YQ==' }), [{ kty: 'oct', k: 'YQ' }]);
    assert.deepEqual(left({ ...curve, crv: undefined }), [curve]);
    assert.deepEqual(left({ ...curve, alg: 7, kid: 7 }), [curve]);
  });

  for (const [what, key, told] of [
    ['nothing', null, /is no object/],
    ['another kind', { kty: 'x' }, /of no kind/],
    ['another curve', { ...curve, crv: 'secp256k1' }, /no curve/],
    ['no point', { ...curve, y: curve.x }, /no point of P-256/],
    ['another algorithm', { ...curve, alg: 'ES384' }, /for ES384/],
    ['an algorithm of objects', { ...curve, alg: 'toString' }, /for toString/],
    ['RSA for curves', { ...rsa, alg: 'ES256' }, /for ES256/],
    ['another exponent', { ...rsa, e: 'AQ' }, /another e/],
    ['a short modulus', { ...rsa, n: 'AQAB' }, /1024 to 8192 bits/],
    ['an even modulus', { ...rsa, n: `${String(rsa.n).slice(0, -2)}AA` }, /1024 to 8192 bits/],
    ['a key of X25519', { ...edwards, crv: 'X25519' }, /another curve/],
    ['half a point', { ...edwards, x: 'AAAA' }, /no key of Ed25519/],
    ['no secret', { kty: 'oct', k: '' }, /no k/],
    ['a secret in other letters', { kty: 'oct', k: 'a+/b' }, /no k/],
    ['a name of half a character', { ...curve, kid: '\ud800' }, /no short text/],
  ] as const) {
    test(`are left out where they are ${what}`, () => {
      const read = readKeySet([key]);
      assert.equal(read.keys, null);
      assert.match(read.leftOut.join(), told);
    });
  }

  test('are named by their place and their own name', () => {
    assert.match(readKeySet([curve, { kty: 'x', kid: 'old' }]).leftOut.join(), /^key 1 \(kid "old"\) is of no kind/);
  });

  test('are looked at up to a hundred', () => {
    const { leftOut } = readKeySet(Array.from({ length: 103 }, () => secret));
    assert.deepEqual(leftOut, ['the last 3 of more than 100 keys are not looked at']);
  });
});
