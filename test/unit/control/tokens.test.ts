import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { createToken, readToken } from '../../../src/control/certificates/tokens.ts';
import type { TokenKeys } from '../../../src/control/certificates/token-keys.ts';

const now = 1_700_000_000_000;
const keys = newKeys();
const asked = { node: 'node-1', pod: null, now, lifetime: 3_600_000 };
const token = createToken(keys, asked);

test('a token says its node', () => {
  assert.deepEqual(readToken(keys, token, now), { ok: true, subject: { node: 'node-1', pod: null } });
});

test('a token of a pod says its pod', () => {
  const bound = createToken(keys, { ...asked, pod: 'shop/web' });
  assert.deepEqual(readToken(keys, bound, now), { ok: true, subject: { node: 'node-1', pod: 'shop/web' } });
});

test('clocks may be five minutes apart either way', () => {
  assert.ok(readToken(keys, token, now - 299_000).ok);
  assert.ok(readToken(keys, token, now + 3_600_000 + 299_000).ok);
});

for (const [what, text, at, reason] of [
  ['has expired', token, now + 3_600_000 + 301_000, /expired/],
  ['is of the future', token, now - 301_000, /not valid yet/],
  ['another key has signed', createToken(newKeys(), asked), now, /not signed by this/],
  ['is for another audience', withClaims({ aud: ['vault'] }), now, /not for istio-ca/],
  ['has other claims than were signed', altered(), now, /not signed by this/],
  ['is not signed', `${token.split('.').slice(0, 2).join('.')}.`, now, /not a signed token/],
  ['wants no algorithm', withHeader({ alg: 'none' }), now, /ES256/],
  ['is signed by the public key as a shared secret', sharedSecret(), now, /ES256/],
  ['is no token', 'nonsense', now, /not a signed token/],
  ['is too long', 'x'.repeat(10_000), now, /too long/],
] as const) {
  test(`a token that ${what} is refused`, () => {
    const reading = readToken(keys, text, at);
    assert.ok(!reading.ok);
    assert.match(reading.reason, reason);
  });
}

function newKeys(): TokenKeys {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function claimsOf(text: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
}

/** Properly signed, with other claims: what another service of the same signer might give out. */
function withClaims(claims: Readonly<Record<string, unknown>>): string {
  const text = `${token.split('.')[0] ?? ''}.${encode({ ...claimsOf(token), ...claims })}`;
  const signature = sign('sha256', Buffer.from(text), { key: keys.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

function withHeader(header: unknown): string {
  const [, payload, signature] = token.split('.');
  return [encode(header), payload, signature].join('.');
}

function altered(): string {
  const [header, , signature] = token.split('.');
  return [header, encode({ ...claimsOf(token), 'kubernetes.io': { node: { name: 'node-2' } } }), signature].join('.');
}

function sharedSecret(): string {
  const text = `${encode({ alg: 'HS256' })}.${token.split('.')[1] ?? ''}`;
  const secret = keys.publicKey.export({ type: 'spki', format: 'pem' });
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}
