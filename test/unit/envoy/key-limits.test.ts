import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { KeysOfSource } from '../../../src/envoy/security/context.ts';
import { maximumKeySet } from '../../../src/envoy/security/request-authentication.ts';
import { authentication, securityContext } from '../../support/envoy/security.ts';

function converted(rule: object, keys?: KeysOfSource) {
  const part = authentication([{ issuer: 'me', ...rule }], {}, securityContext({ keys: () => keys }));
  return { keys: part.security.issuers[0]?.keys, said: part.conditions.map(({ message }) => message).join() };
}

void test('a RequestAuthentication has at most 64 issuers', () => {
  const jwtRules = Array.from({ length: 65 }, (_, index) => ({ issuer: `i${index}`, jwks: '{"keys":[{}]}' }));
  assert.throws(() => authentication(jwtRules), /cannot be more than 64/);
  assert.equal(authentication(jwtRules.slice(1)).security.issuers.length, 64);
});

void test('keys that are written down are no more than others', () => {
  const jwks = JSON.stringify({ keys: [{ k: 'x'.repeat(maximumKeySet) }] });
  assert.deepEqual(converted({ jwks }).keys, null);
  assert.match(converted({ jwks }).said, /jwks: is longer than 65536 bytes: all tokens of the issuer are refused/);
});

void test('why keys are not fetched is told', () => {
  const jwksUri = 'https://idp.example/keys';
  assert.equal(
    converted({ jwksUri }, { keys: '{"keys":[{"kty":"oct","k":"YQ"}]}' }).keys,
    '{"keys":[{"kty":"oct","k":"YQ"}]}',
  );
  assert.match(converted({ jwksUri }).said, /could not be fetched/);
  assert.match(converted({ jwksUri }, { refused: 'shop names too many' }).said, /are not fetched: shop names too many/);
});
