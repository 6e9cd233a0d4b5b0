import { createPrivateKey, X509Certificate } from 'node:crypto';
import { AmbitError } from '../config/errors.ts';
import type { IssuedCertificate } from '../ztunnel/certificates.ts';

/** Why a CA's answer is not taken. */
export type AnswerFault = 'malformed' | 'name' | 'key' | 'chain' | 'time';

/** The CA gave something else than what was asked for. */
export class CertificateAnswerError extends AmbitError {
  readonly fault: AnswerFault;

  constructor(fault: AnswerFault, message: string, options?: { readonly cause?: unknown }) {
    super('CA_ANSWER_INVALID', `the CA's answer is refused: ${message}`, options);
    this.fault = fault;
  }
}

export interface ExpectedCertificate {
  readonly spiffeId: string;
  /** PKCS#8 PEM of the key that was asked for. */
  readonly privateKey: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const longestPath = 6;
const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** Clocks may be this far apart before a certificate that begins later than now is of no use. Milliseconds. */
const clockSkew = 5 * 60_000;

/**
 * What the CA answered, if it is what was asked for: a certificate for this name alone and this key, valid now, with a way
 * to one of the roots that came with it.
 *
 * @param chain PEM: leaf, intermediates, and last the roots, several in one element where there are several
 * @throws CertificateAnswerError
 */
export function acceptAnswer(chain: readonly string[], expected: ExpectedCertificate): IssuedCertificate {
  const [leafPem = '', ...rest] = chain;
  const leaf = parseOne(leafPem);
  const roots = parseAll(rest.at(-1) ?? '');
  const intermediates = rest.slice(0, -1).flatMap(parseAll);
  checkName(leaf, expected.spiffeId);
  checkKey(leaf, expected.privateKey);
  const path = findPath(leaf, intermediates, roots);
  checkTime(path, expected.now);
  return {
    certificateChain: [leaf, ...intermediates].map(toPem).join(''),
    privateKey: expected.privateKey,
    roots: roots.map(toPem).join(''),
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Math.min(...path.map(({ validTo }) => Date.parse(validTo))),
  };
}

function checkName(leaf: X509Certificate, spiffeId: string): void {
  if (leaf.subjectAltName === `URI:${spiffeId}`) return;
  const names = leaf.subjectAltName ?? 'no name at all';
  throw new CertificateAnswerError('name', `it is for ${names} and not for ${spiffeId} alone`);
}

function checkKey(leaf: X509Certificate, privateKey: string): void {
  if (leaf.ca) throw new CertificateAnswerError('key', 'it is the certificate of a CA');
  if (leaf.checkPrivateKey(createPrivateKey(privateKey))) return;
  throw new CertificateAnswerError('key', 'it is for another key');
}

/** From the leaf to a root, both included. */
function findPath(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): readonly X509Certificate[] {
  const path = [leaf];
  for (let current = leaf; path.length <= longestPath;) {
    const root = roots.find((candidate) => isIssuer(current, candidate));
    if (root !== undefined) return [...path, root];
    const issuer = intermediates.find((candidate) => isIssuer(current, candidate) && !path.includes(candidate));
    if (issuer === undefined) break;
    path.push(issuer);
    current = issuer;
  }
  throw new CertificateAnswerError('chain', 'no chain leads from the certificate to a root that came with it');
}

function isIssuer(subject: X509Certificate, candidate: X509Certificate): boolean {
  return candidate.ca && subject.checkIssued(candidate) && subject.verify(candidate.publicKey);
}

function checkTime(path: readonly X509Certificate[], now: number): void {
  for (const { validFrom, validTo } of path) {
    if (Date.parse(validTo) <= now) throw new CertificateAnswerError('time', `it ends ${validTo}, which is past`);
    if (Date.parse(validFrom) <= now + clockSkew) continue;
    const hint = "this machine's clock is behind, or the CA's is ahead";
    throw new CertificateAnswerError('time', `it begins ${validFrom}: ${hint}`);
  }
}

function parseOne(pem: string): X509Certificate {
  const [certificate, ...more] = parseAll(pem);
  if (certificate === undefined || more.length > 0) {
    throw new CertificateAnswerError('malformed', 'its first element is not one certificate');
  }
  return certificate;
}

function parseAll(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(pemBlock) ?? [];
  if (blocks.length === 0) throw new CertificateAnswerError('malformed', 'an element of it holds no PEM certificate');
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw new CertificateAnswerError('malformed', 'it holds a broken certificate', { cause });
  }
}

/** With the newline at its end that Node leaves to chance. */
function toPem(certificate: X509Certificate): string {
  return `${certificate.toString().trimEnd()}\n`;
}
