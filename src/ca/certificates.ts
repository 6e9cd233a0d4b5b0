// @peculiar/x509 registers its parts through decorators, and its container throws at import where this is not there first.
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Extension, JsonGeneralNames, Name } from '@peculiar/x509';

type CryptoKey = webcrypto.CryptoKey;
type SigningAlgorithm = Readonly<{ name: string; hash: string; namedCurve?: string }>;

/** Somebody who can sign: a certificate and its key. */
export interface Issuer {
  readonly certificate: X509Certificate;
  readonly key: CryptoKey;
  readonly algorithm: SigningAlgorithm;
}

/** Whom a leaf names: a workload, or a server by its DNS names and addresses. */
export type Subject =
  | { readonly kind: 'workload'; readonly spiffeId: string }
  | { readonly kind: 'server'; readonly names: readonly string[] };

export interface LeafRequest {
  readonly subject: Subject;
  /** Milliseconds since the epoch, all of them. */
  readonly now: number;
  readonly notAfter: number;
  /** No leaf begins before its issuers do. */
  readonly earliest: number;
}

export interface Leaf {
  readonly certificate: string;
  readonly privateKey: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface AuthorityMaterial {
  readonly rootCertificate: string;
  readonly rootKey: string;
  readonly certificate: string;
  readonly key: string;
}

const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const year = 365 * 86_400_000;
const rootLife = 10 * year;
const intermediateLife = 5 * year;
/** Clocks of nodes differ a little; a certificate that begins now would be refused by whoever is behind. */
const clockSkew = 120_000;

export function issuerOf(der: Buffer, key: CryptoKey, algorithm: SigningAlgorithm): Issuer {
  return { certificate: new X509Certificate(der), key, algorithm };
}

/** A root, and an intermediate that it signs, so that the root's key need not lie where signing happens. */
export async function generateAuthority(now: number): Promise<AuthorityMaterial> {
  const [rootKeys, keys] = await Promise.all([generateKeys(), generateKeys()]);
  const suffix = randomBytes(4).toString('hex');
  const rootName = `CN=Ambit root ${suffix}`;
  const root = await create({
    subject: rootName,
    issuer: rootName,
    life: [now - clockSkew, now + rootLife],
    publicKey: rootKeys.publicKey,
    signer: { key: rootKeys.privateKey, algorithm: p256 },
    extensions: await authorityExtensions(rootKeys.publicKey, rootKeys.publicKey, 1),
  });
  const intermediate = await create({
    subject: `CN=Ambit intermediate ${suffix}`,
    issuer: rootName,
    life: [now - clockSkew, now + intermediateLife],
    publicKey: keys.publicKey,
    signer: { key: rootKeys.privateKey, algorithm: p256 },
    extensions: await authorityExtensions(keys.publicKey, rootKeys.publicKey, 0),
  });
  return {
    rootCertificate: pem(root),
    rootKey: await exportKey(rootKeys.privateKey),
    certificate: pem(intermediate),
    key: await exportKey(keys.privateKey),
  };
}

/** A certificate alone, for a key that somebody else has. */
export type Certified = Omit<Leaf, 'privateKey'>;

/** A new key and its certificate. */
export async function issueLeaf(issuer: Issuer, request: LeafRequest): Promise<Leaf> {
  const keys = await generateKeys();
  const certified = await certifyKey(issuer, keys.publicKey, request);
  return { ...certified, privateKey: await exportKey(keys.privateKey) };
}

/** An empty subject, so the name is critical (RFC 5280 §4.2.1.6). */
export async function certifyKey(issuer: Issuer, publicKey: CryptoKey, request: LeafRequest): Promise<Certified> {
  const notBefore = Math.max(request.now - clockSkew, request.earliest);
  const certificate = await create({
    subject: '',
    // Not as text: rustls compares names byte for byte, and another string type would be another name.
    issuer: issuer.certificate.subjectName,
    life: [notBefore, request.notAfter],
    publicKey,
    signer: issuer,
    extensions: await leafExtensions(issuer, request.subject),
  });
  return {
    certificate: pem(certificate),
    notBefore: certificate.notBefore.getTime(),
    notAfter: certificate.notAfter.getTime(),
  };
}

interface Creation {
  readonly subject: string;
  readonly issuer: string | Name;
  readonly life: readonly [number, number];
  readonly publicKey: CryptoKey;
  readonly signer: { readonly key: CryptoKey; readonly algorithm: SigningAlgorithm };
  readonly extensions: Extension[];
}

function create(creation: Creation): Promise<X509Certificate> {
  const [notBefore, notAfter] = creation.life;
  return X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: creation.subject,
    issuer: creation.issuer,
    notBefore: wholeSeconds(notBefore),
    notAfter: wholeSeconds(notAfter),
    publicKey: creation.publicKey,
    signingKey: creation.signer.key,
    signingAlgorithm: creation.signer.algorithm,
    extensions: creation.extensions,
  });
}

async function authorityExtensions(own: CryptoKey, issuer: CryptoKey, pathLength: number): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(true, pathLength, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await SubjectKeyIdentifierExtension.create(own),
    await AuthorityKeyIdentifierExtension.create(issuer),
  ];
}

async function leafExtensions(issuer: Issuer, subject: Subject): Promise<Extension[]> {
  const usages = [ExtendedKeyUsage.serverAuth, ...(subject.kind === 'workload' ? [ExtendedKeyUsage.clientAuth] : [])];
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(usages),
    new SubjectAlternativeNameExtension(alternativeNames(subject), true),
    await authorityKeyIdentifier(issuer),
  ];
}

function alternativeNames(subject: Subject): JsonGeneralNames {
  if (subject.kind === 'workload') return [{ type: 'url', value: subject.spiffeId }];
  return subject.names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }));
}

/** The issuer's own identifier where it has one: an operator's CA may have computed it in another way than ours. */
async function authorityKeyIdentifier(issuer: Issuer): Promise<Extension> {
  const own = issuer.certificate.getExtension(SubjectKeyIdentifierExtension);
  if (own !== null) return new AuthorityKeyIdentifierExtension(own.keyId);
  return AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey);
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
}

async function exportKey(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem').trimEnd()}\n`;
}

/** 16 random bytes, positive and never zero: DER would read a set top bit as a sign, and some verifiers refuse zero. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/** X.509 times have no fractions. */
function wholeSeconds(milliseconds: number): Date {
  return new Date(Math.floor(milliseconds / 1000) * 1000);
}
