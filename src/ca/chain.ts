import { X509Certificate } from 'node:crypto';
import { AmbitError } from '../config/errors.ts';

const longestPath = 6;
const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** All certificates of a PEM file. @throws AmbitError `CA_INVALID` where there are none or one is broken. */
export function parseBundle(pem: string, file: string): readonly X509Certificate[] {
  const blocks = pem.match(pemBlock) ?? [];
  if (blocks.length === 0) throw new AmbitError('CA_INVALID', `${file} holds no PEM certificate`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw new AmbitError('CA_INVALID', `${file} holds a broken certificate`, { cause });
  }
}

/**
 * The way from a signing certificate to a root, both included: the certificate itself where it is a root.
 *
 * @throws AmbitError `CA_INVALID` where no way leads to a root.
 */
export function findPath(
  certificate: X509Certificate,
  chain: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): readonly X509Certificate[] {
  const path = [certificate];
  for (let current = certificate; path.length <= longestPath;) {
    if (roots.some((root) => root.fingerprint256 === current.fingerprint256)) return path;
    const issuer = [...roots, ...chain].find((candidate) => isIssuer(current, candidate));
    if (issuer === undefined) break;
    path.push(issuer);
    current = issuer;
  }
  throw new AmbitError('CA_INVALID', 'no chain of CA certificates leads from ca-cert.pem to one of root-cert.pem');
}

export function validFrom(certificate: X509Certificate): number {
  return Date.parse(certificate.validFrom);
}

export function validTo(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

/** With the newline at its end that Node leaves to chance. */
export function toPem(certificate: X509Certificate): string {
  return `${certificate.toString().trimEnd()}\n`;
}

function isIssuer(subject: X509Certificate, candidate: X509Certificate): boolean {
  return candidate.ca && subject.checkIssued(candidate) && subject.verify(candidate.publicKey);
}
