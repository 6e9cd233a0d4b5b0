import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BasicConstraintsExtension, KeyUsageFlags, KeyUsagesExtension, X509CertificateGenerator } from '@peculiar/x509';
import type { X509Certificate } from '@peculiar/x509';

const day = 86_400_000;
const rsa = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};
const p384 = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' };

type Algorithm = typeof rsa | typeof p384;

interface Signer {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly algorithm: Algorithm;
}

export interface CacertsOptions {
  /** When the signing certificate ends, milliseconds since the epoch. */
  readonly notAfter?: number;
}

/**
 * A folder as operators make it for Istio's secret `cacerts`: an RSA root, a P-384 certificate under it, and under that
 * the RSA one that signs.
 */
export async function makeCacerts(
  folder: string,
  { notAfter = Date.now() + 30 * day }: CacertsOptions = {},
): Promise<void> {
  const root = await signer('Shop root', rsa, null, Date.now() + 3650 * day);
  const region = await signer('Shop region', p384, root, Date.now() + 365 * day);
  const own = await signer('Shop mesh', rsa, region, notAfter);
  const der = await webcrypto.subtle.exportKey('pkcs8', own.keys.privateKey);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const files = {
    'root-cert.pem': pem(root),
    'ca-cert.pem': pem(own),
    'cert-chain.pem': pem(own) + pem(region) + pem(root),
    'ca-key.pem': armour('PRIVATE KEY', Buffer.from(der)),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o600 });
}

async function signer(name: string, algorithm: Algorithm, issuer: Signer | null, notAfter: number): Promise<Signer> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const signing = issuer ?? { keys, algorithm, certificate: null };
  const certificate = await X509CertificateGenerator.create({
    serialNumber: `4${randomBytes(15).toString('hex')}0`,
    subject: `O=Shop, CN=${name}`,
    issuer: signing.certificate?.subjectName ?? `O=Shop, CN=${name}`,
    notBefore: new Date(Math.min(Date.now(), notAfter) - day),
    notAfter: new Date(notAfter),
    publicKey: keys.publicKey,
    signingKey: signing.keys.privateKey,
    signingAlgorithm: signing.algorithm,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return { certificate, keys, algorithm };
}

function pem({ certificate }: Signer): string {
  return `${certificate.toString('pem').trimEnd()}\n`;
}

function armour(what: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${what}-----\n${lines.join('\n')}\n-----END ${what}-----\n`;
}
