import { createPublicKey } from 'node:crypto';
import type { JsonWebKey } from 'node:crypto';

/**
 * The keys of an issuer as Envoy takes them. A set in which it knows no key makes Envoy refuse the whole listener, so each is looked
 * at here first, and nothing but what was looked at is handed on.
 */

export interface KeySet {
  /** A JSON Web Key Set as text; null: no key is left. */
  readonly keys: string | null;
  /** What of the keys was left out, and why: `key 1 (kid "a") is …`. */
  readonly leftOut: readonly string[];
}

/** Nobody signs with more; each costs time to look at. */
const mostKeys = 100;
const longestName = 256;

/** @returns the list `keys` of a JSON object, null where the text is none that has any */
export function keysIn(text: string): readonly unknown[] | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('keys' in value)) return null;
    return Array.isArray(value.keys) && value.keys.length > 0 ? (value.keys as readonly unknown[]) : null;
  } catch {
    return null;
  }
}

export function readKeySet(values: readonly unknown[]): KeySet {
  const read = values.slice(0, mostKeys).map(readKey);
  const good = read.filter((key) => typeof key !== 'string');
  const bad = read.flatMap((key, index) =>
    typeof key === 'string' ? [`key ${index}${named(values[index])} ${key}`] : [],
  );
  const more = values.length - read.length;
  return {
    keys: good.length === 0 ? null : JSON.stringify({ keys: good }),
    leftOut: more === 0 ? bad : [...bad, `the last ${more} of more than ${mostKeys} keys are not looked at`],
  };
}

function named(value: unknown): string {
  const kid = stringsOf(value)?.['kid'];
  return kid === undefined ? '' : ` (kid ${JSON.stringify(kid.slice(0, 50))})`;
}

type Strings = Readonly<Record<string, string | undefined>>;

/** Members that are texts; others count as if they were not there, which is how Envoy takes them. */
function stringsOf(value: unknown): Strings | null {
  if (typeof value !== 'object' || value === null) return null;
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** @returns the key, or what is wrong with it */
function readKey(value: unknown): JsonWebKey | string {
  const members = stringsOf(value);
  if (members === null) return 'is no object';
  const { kid, alg } = members;
  if (kid !== undefined && (kid.length > longestName || /\p{Surrogate}/u.test(kid)))
    return 'has a kid that is no short text';
  const key = material(members);
  if (typeof key === 'string') return key;
  return { ...key, ...(kid === undefined ? {} : { kid }), ...(alg === undefined ? {} : { alg }) };
}

function material(members: Strings): JsonWebKey | string {
  switch (members['kty']) {
    case 'RSA':
      return ofRsa(members);
    case 'EC':
      return ofCurve(members);
    case 'OKP':
      return ofEdwards(members);
    case 'oct':
      return ofSecret(members);
    default:
      return 'is of no kind (kty) that waypoints know: RSA, EC, OKP or oct';
  }
}

const exponents = ['AQAB', 'Aw'];

function ofRsa({ n, e, alg = 'RS256' }: Strings): JsonWebKey | string {
  if (!/^[RP]S/.test(alg)) return `is of RSA and for ${alg}`;
  const [modulus, exponent] = [base64(n), base64(e)];
  if (modulus === null || exponent === null) return 'has no n or no e in base64url';
  if (!exponents.includes(exponent)) return 'has another e than 3 and 65537';
  const key = { kty: 'RSA', n: modulus, e: exponent };
  const bits = publicKey(key)?.asymmetricKeyDetails?.modulusLength ?? 0;
  const isOdd = ((Buffer.from(modulus, 'base64url').at(-1) ?? 0) & 1) === 1;
  return bits >= 1024 && bits <= 8192 && isOdd ? key : 'is no RSA key of 1024 to 8192 bits';
}

const curves: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

function ofCurve({ crv, x, y, alg }: Strings): JsonWebKey | string {
  if (alg !== undefined && curves[alg] === undefined) return `is of EC and for ${alg}`;
  const curve = crv ?? (alg === undefined ? 'P-256' : curves[alg]);
  if (curve === undefined || !Object.values(curves).includes(curve)) return 'is of no curve of P-256, P-384 and P-521';
  if (alg !== undefined && curves[alg] !== curve) return `is of ${curve} and for ${alg}`;
  const [left, right] = [base64(x), base64(y)];
  if (left === null || right === null) return 'has no x or no y in base64url';
  const key = { kty: 'EC', crv: curve, x: left, y: right };
  return publicKey(key) === null ? `is no point of ${curve}` : key;
}

function ofEdwards({ crv, x, alg = 'EdDSA' }: Strings): JsonWebKey | string {
  if (crv !== 'Ed25519') return 'is of another curve than Ed25519';
  if (alg !== 'EdDSA') return `is of Ed25519 and for ${alg}`;
  const key = { kty: 'OKP', crv, x: base64(x) ?? '' };
  return publicKey(key) === null ? 'is no key of Ed25519' : key;
}

function ofSecret({ k, alg = 'HS256' }: Strings): JsonWebKey | string {
  if (!/^HS(256|384|512)$/.test(alg)) return `is a shared secret and for ${alg}`;
  const secret = base64(k);
  return secret === null ? 'has no k in base64url' : { kty: 'oct', k: secret };
}

/** In the one way of writing it that everybody reads; null: it is none, or nothing. */
function base64(text: string | undefined): string | null {
  if (text === undefined || !/^[A-Za-z0-9_-]+={0,2}$/.test(text)) return null;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.length === 0 ? null : bytes.toString('base64url');
}

function publicKey(key: JsonWebKey): ReturnType<typeof createPublicKey> | null {
  try {
    return createPublicKey({ key, format: 'jwk' });
  } catch {
    return null;
  }
}
