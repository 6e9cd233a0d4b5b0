import { generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

import { authorizationPolicy } from '../manifests.ts';
import type { Manifest } from '../manifests.ts';
import { shop } from './documents.ts';

/** Who may do what with the shop's service. */

const target = { targetRefs: [{ group: '', kind: 'Service', name: 'web' }] };
export const issuer = 'https://issuer.example.com';

/** Only that account of the shop, and only by these methods. */
export function allowing(account: string, methods: readonly string[]): Manifest {
  const from = [{ source: { principals: [`cluster.local/ns/${shop}/sa/${account}`] } }];
  return authorizationPolicy(shop, 'web-methods', { ...target, rules: [{ from, to: [{ operation: { methods } }] }] });
}

/** Not that account of the shop, at a port of the service. */
export function denying(account: string, port: number): Manifest {
  const from = [{ source: { principals: [`cluster.local/ns/${shop}/sa/${account}`] } }];
  const to = [{ operation: { ports: [String(port)] } }];
  return authorizationPolicy(shop, 'web-port', { ...target, action: 'DENY', rules: [{ from, to }] });
}

/** Only with a token of the issuer. */
export function requiringToken({ jwks }: TokenIssuer): readonly Manifest[] {
  const from = [{ source: { requestPrincipals: [`${issuer}/*`] } }];
  return [
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'RequestAuthentication',
      metadata: { name: 'web-tokens', namespace: shop },
      spec: { ...target, jwtRules: [{ issuer, jwks }] },
    },
    authorizationPolicy(shop, 'web-tokens', { ...target, rules: [{ from }] }),
  ];
}

/** So many in an hour: within a test none comes back. */
export function rateLimit(requests: number): Manifest {
  return {
    apiVersion: 'ambit.dev/v1alpha1',
    kind: 'RateLimitPolicy',
    metadata: { name: 'web', namespace: shop },
    spec: { ...target, limits: [{ requests, interval: '1h' }] },
  };
}

/** Signs tokens; whoever has `jwks` believes them. */
export class TokenIssuer {
  readonly jwks: string;
  readonly #key: KeyObject;
  readonly #name: string;

  constructor(name = issuer) {
    this.#name = name;
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = privateKey;
    this.jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'shop', alg: 'ES256' }] });
  }

  /** A token for the next hour. */
  token(subject: string, claims: Readonly<Record<string, unknown>> = {}): string {
    const hour = Math.floor(Date.now() / 1000) + 3_600;
    const parts = [
      { alg: 'ES256', kid: 'shop', typ: 'JWT' },
      { iss: this.#name, sub: subject, exp: hour, ...claims },
    ];
    const signed = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    const signature = sign('sha256', Buffer.from(signed), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }
}
