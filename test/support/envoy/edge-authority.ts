import 'reflect-metadata';
import { createHash, randomBytes, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  X509CrlGenerator,
  X509CrlReason,
} from '@peculiar/x509';
import type { JsonGeneralNames, X509Certificate } from '@peculiar/x509';

const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 86_400_000;

export interface IssuedNames {
  readonly hosts?: readonly string[];
  readonly uris?: readonly string[];
  /** Milliseconds since the epoch; by default in a day. */
  readonly until?: number;
}

/** PEM, and what is looked for in it. */
export interface Issued {
  readonly certificate: string;
  readonly key: string;
  readonly serialNumber: string;
  /** SHA-256, base64. */
  readonly publicKeyHash: string;
  /** SHA-256, hexadecimal. */
  readonly certificateHash: string;
}

/** A root that signs for servers and clients of the outside. */
export class EdgeAuthority {
  readonly roots: string;
  readonly #certificate: X509Certificate;
  readonly #key: webcrypto.CryptoKey;

  private constructor(certificate: X509Certificate, key: webcrypto.CryptoKey) {
    this.roots = pem(certificate);
    this.#certificate = certificate;
    this.#key = key;
  }

  static async create(name: string): Promise<EdgeAuthority> {
    const keys = await webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: serial(),
      name: `CN=${name}`,
      notBefore: new Date(Date.now() - day),
      notAfter: new Date(Date.now() + 30 * day),
      keys,
      signingAlgorithm: p256,
      extensions: [new BasicConstraintsExtension(true, undefined, true)],
    });
    return new EdgeAuthority(certificate, keys.privateKey);
  }

  async issue({ hosts = [], uris = [], until = Date.now() + day }: IssuedNames): Promise<Issued> {
    const keys = await webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
    const names: JsonGeneralNames = [
      ...hosts.map((value) => ({ type: 'dns' as const, value })),
      ...uris.map((value) => ({ type: 'url' as const, value })),
    ];
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serial(),
      subject: '',
      issuer: this.#certificate.subjectName,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(until),
      publicKey: keys.publicKey,
      signingKey: this.#key,
      signingAlgorithm: p256,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new SubjectAlternativeNameExtension(names, true),
      ],
    });
    const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    const publicKey = await webcrypto.subtle.exportKey('spki', keys.publicKey);
    return {
      certificate: pem(certificate),
      key: pemOf('PRIVATE KEY', key),
      serialNumber: certificate.serialNumber,
      publicKeyHash: createHash('sha256').update(Buffer.from(publicKey)).digest('base64'),
      certificateHash: createHash('sha256').update(Buffer.from(certificate.rawData)).digest('hex'),
    };
  }

  /** PEM. */
  async revocationList(revoked: readonly Issued[]): Promise<string> {
    const list = await X509CrlGenerator.create({
      issuer: this.#certificate.subjectName,
      thisUpdate: new Date(Date.now() - 60_000),
      nextUpdate: new Date(Date.now() + day),
      // Without a reason the library writes an empty list of extensions, which nobody reads.
      entries: revoked.map(({ serialNumber }) => ({ serialNumber, reason: X509CrlReason.keyCompromise })),
      signingAlgorithm: p256,
      signingKey: this.#key,
    });
    return pemOf('X509 CRL', list.rawData);
  }
}

function serial(): string {
  return `4${randomBytes(15).toString('hex')}0`;
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem').trimEnd()}\n`;
}

function pemOf(label: string, der: ArrayBuffer): string {
  const lines = Buffer.from(der).toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
