import { webcrypto } from 'node:crypto';
import type { KeyObject, X509Certificate } from 'node:crypto';
import { AmbitError } from '../config/errors.ts';
import { issuerOf } from './certificates.ts';
import type { Issuer } from './certificates.ts';

const curves: Readonly<Record<string, { readonly namedCurve: string; readonly hash: string }>> = {
  prime256v1: { namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { namedCurve: 'P-384', hash: 'SHA-384' },
};

/** A CA's key for signing. An operator's own CA may have RSA or P-384 keys, as Istio's `cacerts` may. */
export async function importIssuer(certificate: X509Certificate, key: KeyObject): Promise<Issuer> {
  const algorithm = algorithmOf(key);
  const bytes = key.export({ type: 'pkcs8', format: 'der' });
  const signingKey = await webcrypto.subtle.importKey('pkcs8', bytes, algorithm, false, ['sign']);
  return issuerOf(certificate.raw, signingKey, algorithm);
}

function algorithmOf(key: KeyObject): { name: string; hash: string; namedCurve?: string } {
  const curve = curves[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (key.asymmetricKeyType === 'ec' && curve !== undefined) return { name: 'ECDSA', ...curve };
  if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048) {
    return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  }
  throw new AmbitError('CA_INVALID', 'ca-key.pem must be an ECDSA key on P-256 or P-384, or RSA of 2048 bits or more');
}
