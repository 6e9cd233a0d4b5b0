import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { PublicKey, X509Certificate } from '@peculiar/x509';

const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 86_400_000;

/** How an answer differs from what was asked for. */
export interface LeafOverrides {
  readonly names?: readonly string[];
  readonly otherKey?: boolean;
  readonly foreignRoots?: boolean;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly garbage?: boolean;
}

interface Signer {
  readonly certificate: X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

/** A root and an intermediate that sign whatever they are told to: for tests of those who must not believe them. */
export class TestAuthority {
  readonly roots: string;
  readonly #intermediate: Signer;

  private constructor(root: Signer, intermediate: Signer) {
    this.roots = pem(root.certificate);
    this.#intermediate = intermediate;
  }

  static async create(): Promise<TestAuthority> {
    const root = await authority('CN=test root', null);
    return new TestAuthority(root, await authority('CN=test intermediate', root));
  }

  /** The chain for a request, PEM by PEM, the roots last. */
  async answer(csr: string, overrides: LeafOverrides = {}): Promise<readonly string[]> {
    if (overrides.garbage === true) return ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'];
    const request = new Pkcs10CertificateRequest(csr);
    const asked = request.extensions.find((extension) => extension instanceof SubjectAlternativeNameExtension);
    const names = overrides.names?.map((value) => ({ type: 'url' as const, value })) ?? asked?.names.toJSON() ?? [];
    const leaf = await this.#issue(overrides, names, request.publicKey);
    const roots = overrides.foreignRoots === true ? (await TestAuthority.create()).roots : this.roots;
    return [pem(leaf), pem(this.#intermediate.certificate), roots];
  }

  /** A key and certificate, and their chain: for a server on this machine unless names are given. */
  async server(hosts?: readonly string[]): Promise<{ readonly key: string; readonly certificate: string }> {
    const keys = await webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
    const names = [
      ...(hosts === undefined ? [{ type: 'ip' as const, value: '127.0.0.1' }] : []),
      ...(hosts ?? ['localhost']).map((value) => ({ type: 'dns' as const, value })),
    ];
    const leaf = await this.#issue({}, names, keys.publicKey);
    const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
    const key = `-----BEGIN PRIVATE KEY-----\n${der.replaceAll(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
    return { key, certificate: pem(leaf) + pem(this.#intermediate.certificate) };
  }

  async #issue(
    { notBefore = Date.now() - 60_000, notAfter = Date.now() + day, otherKey = false }: LeafOverrides,
    names: ConstructorParameters<typeof SubjectAlternativeNameExtension>[0],
    publicKey: PublicKey | webcrypto.CryptoKey,
  ): Promise<X509Certificate> {
    const others = await webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
    return X509CertificateGenerator.create({
      serialNumber: serial(),
      subject: '',
      issuer: this.#intermediate.certificate.subjectName,
      notBefore: new Date(notBefore),
      notAfter: new Date(notAfter),
      publicKey: otherKey ? others.publicKey : publicKey,
      signingKey: this.#intermediate.key,
      signingAlgorithm: p256,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        ...(Array.isArray(names) && names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names, true)]),
      ],
    });
  }
}

async function authority(subject: string, signer: Signer | null): Promise<Signer> {
  const keys = await webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(),
    subject,
    issuer: signer?.certificate.subjectName ?? subject,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + 30 * day),
    publicKey: keys.publicKey,
    signingKey: signer?.key ?? keys.privateKey,
    signingAlgorithm: p256,
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  });
  return { certificate, key: keys.privateKey };
}

function serial(): string {
  return `4${randomBytes(15).toString('hex')}0`;
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem').trimEnd()}\n`;
}
