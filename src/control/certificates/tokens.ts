import { sign, verify } from 'node:crypto';
import { z } from 'zod';
import type { TokenKeys } from './token-keys.ts';

/** The audience of tokens for the CA and for xDS, as in the Istio world. */
export const tokenAudience = 'istio-ca';

export interface TokenSubject {
  readonly node: string;
  /** `namespace/name`: the token is this pod's, and good for that pod's own identity alone. Null: the node agent's. */
  readonly pod: string | null;
}

export interface TokenRequest extends TokenSubject {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Milliseconds. */
  readonly lifetime: number;
}

const issuer = 'ambit';
/** Clocks of nodes may be this far apart. Seconds. */
const clockSkew = 300;
const longestToken = 8192;

/** In the shape of a projected Kubernetes token, so that one day either is read in one way. */
const claimsSchema = z.object({
  iss: z.literal(issuer),
  aud: z.array(z.string()),
  exp: z.number(),
  nbf: z.number(),
  'kubernetes.io': z.object({
    node: z.object({ name: z.string().min(1) }),
    pod: z.object({ namespace: z.string().min(1), name: z.string().min(1) }).optional(),
  }),
});
const headerSchema = z.object({ alg: z.literal('ES256') });

type Claims = z.infer<typeof claimsSchema>;

export function createToken(keys: TokenKeys, request: TokenRequest): string {
  const now = Math.floor(request.now / 1000);
  const claims: Claims & { readonly iat: number } = {
    iss: issuer,
    aud: [tokenAudience],
    iat: now,
    nbf: now,
    exp: now + Math.floor(request.lifetime / 1000),
    'kubernetes.io': { node: { name: request.node }, ...podClaim(request.pod) },
  };
  const signed = `${encode({ alg: 'ES256', typ: 'JWT' })}.${encode(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), { key: keys.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

export type TokenReading =
  { readonly ok: true; readonly subject: TokenSubject } | { readonly ok: false; readonly reason: string };

/** Reasons are for the log of the control plane; a peer learns only that its token is not good. */
export function readToken(keys: Pick<TokenKeys, 'publicKey'>, token: string, now: number): TokenReading {
  if (token.length > longestToken) return refuse('the token is too long');
  const [header = '', payload = '', signature = '', ...rest] = token.split('.');
  if (rest.length > 0 || signature === '') return refuse('not a signed token');
  // The algorithm is ours to choose, never the token's.
  if (!headerSchema.safeParse(decode(header)).success) return refuse('not signed by ES256');
  if (!isSignedBy(keys, `${header}.${payload}`, signature)) return refuse('not signed by this control plane');
  const claims = claimsSchema.safeParse(decode(payload));
  return claims.success ? readClaims(claims.data, now / 1000) : refuse('claims are missing');
}

function readClaims(claims: Claims, now: number): TokenReading {
  if (!claims.aud.includes(tokenAudience)) return refuse(`the token is not for ${tokenAudience}`);
  if (now > claims.exp + clockSkew) return refuse('the token has expired');
  if (now < claims.nbf - clockSkew) return refuse('the token is not valid yet: clocks differ too much');
  const { node, pod } = claims['kubernetes.io'];
  return { ok: true, subject: { node: node.name, pod: pod === undefined ? null : `${pod.namespace}/${pod.name}` } };
}

function isSignedBy({ publicKey }: Pick<TokenKeys, 'publicKey'>, text: string, signature: string): boolean {
  const bytes = Buffer.from(signature, 'base64url');
  return verify('sha256', Buffer.from(text), { key: publicKey, dsaEncoding: 'ieee-p1363' }, bytes);
}

function podClaim(pod: string | null): Pick<Claims['kubernetes.io'], 'pod'> {
  if (pod === null) return {};
  const slash = pod.indexOf('/');
  return { pod: { namespace: pod.slice(0, slash), name: pod.slice(slash + 1) } };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as unknown;
  } catch {
    return null;
  }
}

function refuse(reason: string): TokenReading {
  return { ok: false, reason };
}
