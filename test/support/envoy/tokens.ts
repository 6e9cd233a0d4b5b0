import { generateKeyPairSync, sign } from 'node:crypto';

/** Somebody who gives out JSON Web Tokens, signed with ES256. */
export class TokenMaker {
  readonly issuer: string;
  /** The JSON Web Key Set by which its tokens are checked. */
  readonly keys: string;
  readonly #sign: (text: string) => Buffer;

  constructor(issuer: string) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    this.issuer = issuer;
    this.keys = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' }] });
    this.#sign = (text) => sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  }

  token(claims: Readonly<Record<string, unknown>> = {}): string {
    const payload = { iss: this.issuer, sub: 'somebody', exp: 4_000_000_000, ...claims };
    const text = [{ alg: 'ES256', kid: 'one', typ: 'JWT' }, payload].map(encoded).join('.');
    return `${text}.${this.#sign(text).toString('base64url')}`;
  }
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
