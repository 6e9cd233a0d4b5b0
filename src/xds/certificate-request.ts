// @peculiar/x509 registers its parts through decorators, and its container throws at import where this is not there first.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509';

/** A new key and the request for its certificate. */
export interface KeyAndRequest {
  /** PKCS#8 PEM; stays in memory. */
  readonly privateKey: string;
  /** PKCS#10 PEM. */
  readonly request: string;
}

const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** ECDSA P-256; no subject, so the one name, the SPIFFE id, is critical (RFC 5280 §4.2.1.6). */
export async function requestCertificateFor(spiffeId: string): Promise<KeyAndRequest> {
  const keys = await webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: p256,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'url', value: spiffeId }], true)],
  });
  return { privateKey: await exportKey(keys.privateKey), request: `${request.toString('pem').trimEnd()}\n` };
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
}
