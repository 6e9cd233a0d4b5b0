// @peculiar/x509 registers its parts through decorators, and its container throws at import where this is not there first.
import 'reflect-metadata';
import { generateKeyPairSync, webcrypto } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { BasicConstraintsExtension, X509CertificateGenerator, X509CrlGenerator } from '@peculiar/x509';

/** Who may sign, or a server: a certificate and its key, both PEM. */
export interface Certified {
  readonly certificate: string;
  readonly key: string;
  readonly name: string;
  /** Hexadecimal. */
  readonly serial: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export const now = Date.parse('2026-06-01T00:00:00Z');
const day = 86_400_000;

export interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

interface Wishes {
  readonly signer?: Certified;
  readonly from?: number;
  readonly to?: number;
  readonly keys?: Keys;
}

export const curve = (namedCurve: string): Keys => generateKeyPairSync('ec', { namedCurve });
export const rsa = (modulusLength: number): Keys => generateKeyPairSync('rsa', { modulusLength });

let count = 0;

/** Signed by itself where nobody else is named. */
export async function certify(name: string, wishes: Wishes = {}): Promise<Certified> {
  const { signer, from = now - day, to = now + day } = wishes;
  const { publicKey, privateKey } = wishes.keys ?? curve('P-256');
  const serial = `0a${(++count).toString(16).padStart(6, '0')}`;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial,
    subject: `CN=${name}`,
    issuer: `CN=${signer?.name ?? name}`,
    notBefore: new Date(from),
    notAfter: new Date(to),
    publicKey: await webKey(publicKey, 'verify'),
    signingKey: await webKey(signer?.privateKey ?? privateKey, 'sign'),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [new BasicConstraintsExtension(true)],
  });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { certificate: `${certificate.toString('pem')}\n`, key, name, serial, publicKey, privateKey };
}

/** What `signer` has revoked: nothing. */
export async function revocationList(signer: Certified): Promise<string> {
  const list = await X509CrlGenerator.create({
    issuer: `CN=${signer.name}`,
    thisUpdate: new Date(now - day),
    nextUpdate: new Date(now + day),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    signingKey: await webKey(signer.privateKey, 'sign'),
  });
  const body = Buffer.from(list.rawData)
    .toString('base64')
    .replace(/(.{64})/g, '$1\n');
  return `-----BEGIN X509 CRL-----\n${body}\n-----END X509 CRL-----\n`;
}

async function webKey(key: KeyObject, use: 'sign' | 'verify'): Promise<webcrypto.CryptoKey> {
  const algorithm =
    key.asymmetricKeyType === 'rsa'
      ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
      : { name: 'ECDSA', namedCurve: webCurve(key) };
  const format = use === 'sign' ? 'pkcs8' : 'spki';
  const bytes = key.export({ type: format, format: 'der' } as never) as unknown as Buffer;
  return webcrypto.subtle.importKey(format, bytes, algorithm, true, [use]);
}

function webCurve(key: KeyObject): string {
  const name = key.asymmetricKeyDetails?.namedCurve ?? '';
  return { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }[name] ?? name;
}
