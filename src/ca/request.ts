// @peculiar/x509 registers its parts through decorators, and its container throws at import where this is not there first.
import 'reflect-metadata';
import type { webcrypto } from 'node:crypto';
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from '@peculiar/x509';
import { AmbitError } from '../config/errors.ts';
import { parseSpiffeId } from '../model/identity.ts';

/** What a certificate request (PKCS #10) asks for, after its signature has shown that the asker has the key. */
export interface ParsedRequest {
  readonly spiffeId: string;
  readonly publicKey: webcrypto.CryptoKey;
}

const largestRequest = 16 * 1024;

/** @throws AmbitError `CA_REQUEST_INVALID`: anything but one P-256 key and one critical SPIFFE name, properly signed. */
export async function parseRequest(pem: string): Promise<ParsedRequest> {
  if (pem.length > largestRequest) throw invalid(`is larger than ${largestRequest} bytes`);
  const request = decode(pem);
  // The algorithm is looked at first: verifying is the dear part, and RSA keys can make it very dear.
  if (!isP256(request)) throw invalid('does not have an ECDSA key on P-256');
  const spiffeId = nameOf(request);
  if (!(await verify(request))) throw invalid('is not signed by the key that it holds');
  // The library's types name the browser's CryptoKey, which is the same thing here.
  const publicKey: unknown = await request.publicKey.export();
  return { spiffeId, publicKey: publicKey as webcrypto.CryptoKey };
}

function decode(pem: string): Pkcs10CertificateRequest {
  try {
    return new Pkcs10CertificateRequest(pem);
  } catch (cause) {
    throw invalid('cannot be read as PEM of PKCS #10', cause);
  }
}

function isP256(request: Pkcs10CertificateRequest): boolean {
  const algorithm = request.publicKey.algorithm as unknown as Readonly<Record<string, unknown>>;
  return algorithm['name'] === 'ECDSA' && algorithm['namedCurve'] === 'P-256';
}

function nameOf(request: Pkcs10CertificateRequest): string {
  const found = request.extensions.filter((extension) => extension instanceof SubjectAlternativeNameExtension);
  const [extension] = found;
  if (extension === undefined || found.length > 1 || !extension.critical)
    throw invalid('must have one critical subject alternative name');
  const [name, ...others] = extension.names.items;
  if (name?.type !== 'url' || others.length > 0) throw invalid('must have one URI as its subject alternative name');
  if (parseSpiffeId(name.value) === null)
    throw invalid('must name spiffe://<trust domain>/ns/<namespace>/sa/<account>');
  return name.value;
}

async function verify(request: Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await request.verify();
  } catch {
    return false;
  }
}

function invalid(what: string, cause?: unknown): AmbitError {
  return new AmbitError('CA_REQUEST_INVALID', `the certificate request ${what}`, { cause });
}
