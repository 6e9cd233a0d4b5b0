import type { webcrypto, X509Certificate } from 'node:crypto';
import { createPrivateKey } from 'node:crypto';
import { resolve } from 'node:path';
import { AmbitError } from '../config/errors.ts';
import { certifyKey, issueLeaf } from './certificates.ts';
import type { Issuer, LeafRequest, Subject } from './certificates.ts';
import { readAuthorityFiles } from './files.ts';
import type { AuthorityFiles } from './files.ts';
import { findPath, parseBundle, toPem, validFrom, validTo } from './chain.ts';
import { importIssuer } from './keys.ts';
import { parseSpiffeId } from '../model/identity.ts';

export { initialiseAuthority } from './initialise.ts';

export interface CertificateRequest {
  /** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. */
  readonly spiffeId: string;
  /** Milliseconds; shortened where the authority's own certificates end earlier. */
  readonly ttl: number;
}

export interface SignedCertificate {
  /** PEM, leaf first, then the intermediates. */
  readonly certificateChain: string;
  /** PKCS#8 PEM. Belongs in memory only. */
  readonly privateKey: string;
  /** PEM of the roots to trust. */
  readonly roots: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface CertifyRequest extends CertificateRequest {
  /** Of the key that the asker has, and has proved to have. */
  readonly publicKey: webcrypto.CryptoKey;
}

export interface ServerRequest {
  /** DNS names and addresses. */
  readonly names: readonly string[];
  /** Milliseconds. */
  readonly ttl: number;
}

/** A certificate for a key that stays with whoever asked. */
export type CertifiedKey = Omit<SignedCertificate, 'privateKey'>;

/** Signs certificates for workloads with a key on disk. */
export interface Authority {
  /** @throws AmbitError `CA_REQUEST_INVALID` for a malformed request, `CA_EXPIRED` when the authority's own time is up. */
  sign(request: CertificateRequest): Promise<SignedCertificate>;
  /** @throws AmbitError as `sign` does */
  certify(request: CertifyRequest): Promise<CertifiedKey>;
  /** A key and certificate for a server of the mesh's own, such as the control plane. @throws AmbitError as `sign` does */
  issueServer(request: ServerRequest): Promise<SignedCertificate>;
  /** PEM of the roots to trust. */
  readonly roots: string;
  /** When the first certificate on the way to the root ends. Milliseconds since the epoch. */
  readonly notAfter: number;
  /** When the last of the roots ends. Milliseconds since the epoch. */
  readonly rootNotAfter: number;
}

export interface LoadOptions {
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Hears of key or folder that others may read; they are refused unless given, and always where others may write. */
  readonly onReadable?: (message: string) => void;
}

const minimumTtl = 60_000;
const maximumTtl = 90 * 86_400_000;

/** @throws AmbitError `CA_UNREADABLE`, `CA_INSECURE`, `CA_INVALID` or `CA_EXPIRED`, each saying what to do. */
export async function loadAuthority(directory: string, options: LoadOptions = {}): Promise<Authority> {
  return authorityFrom(await readAuthorityFiles(resolve(directory), options.onReadable ?? null), options);
}

/** From what the files would hold. @throws AmbitError `CA_INVALID` or `CA_EXPIRED` */
export async function authorityFrom(files: AuthorityFiles, options: LoadOptions = {}): Promise<Authority> {
  const now = options.now ?? Date.now;
  const roots = parseBundle(files.rootCertificate, 'root-cert.pem');
  const [certificate] = parseBundle(files.certificate, 'ca-cert.pem');
  const key = parseKey(files.key);
  if (certificate === undefined || !certificate.ca) throw invalid('ca-cert.pem is not the certificate of a CA');
  if (!certificate.checkPrivateKey(key)) throw invalid('ca-key.pem is not the key of ca-cert.pem');
  const path = findPath(
    certificate,
    files.chain.trim() === '' ? [] : parseBundle(files.chain, 'cert-chain.pem'),
    roots,
  );
  const issuer = await importIssuer(certificate, key);
  const authority = new LoadedAuthority(issuer, path, roots, now);
  authority.checkValid(now());
  return authority;
}

class LoadedAuthority implements Authority {
  readonly roots: string;
  readonly notAfter: number;
  readonly rootNotAfter: number;
  readonly #notBefore: number;
  /** Subject of the one on the way to the root that ends first. */
  readonly #firstToEnd: string;
  readonly #issuer: Issuer;
  readonly #intermediates: string;
  readonly #now: () => number;

  /** `path` leads from the signing certificate to the one below the root, then the root. */
  constructor(issuer: Issuer, path: readonly X509Certificate[], roots: readonly X509Certificate[], now: () => number) {
    this.#issuer = issuer;
    this.#now = now;
    this.#intermediates = path.slice(0, -1).map(toPem).join('');
    this.roots = roots.map(toPem).join('');
    this.#notBefore = Math.max(...path.map(validFrom));
    this.notAfter = Math.min(...path.map(validTo));
    const first = path.find((certificate) => validTo(certificate) === this.notAfter);
    this.#firstToEnd = JSON.stringify(first?.subject.replaceAll('\n', ', ') ?? '');
    this.rootNotAfter = Math.max(...roots.map(validTo));
  }

  checkValid(now: number): void {
    if (now + minimumTtl > this.notAfter) {
      const when = new Date(this.notAfter).toISOString();
      throw new AmbitError(
        'CA_EXPIRED',
        `the CA's certificate ${this.#firstToEnd} ends ${when}: make new ones and give them to every node`,
      );
    }
    if (now < this.#notBefore) {
      const when = new Date(this.#notBefore).toISOString();
      throw new AmbitError(
        'CA_INVALID',
        `the CA's certificates begin ${when}: this machine's clock is behind, or theirs was ahead`,
      );
    }
  }

  async sign(request: CertificateRequest): Promise<SignedCertificate> {
    checkRequest(request);
    return this.#issue({ kind: 'workload', spiffeId: request.spiffeId }, request.ttl);
  }

  async certify(request: CertifyRequest): Promise<CertifiedKey> {
    checkRequest(request);
    const leafRequest = this.#leafRequest({ kind: 'workload', spiffeId: request.spiffeId }, request.ttl);
    const { certificate, notBefore, notAfter } = await certifyKey(this.#issuer, request.publicKey, leafRequest);
    return { certificateChain: certificate + this.#intermediates, roots: this.roots, notBefore, notAfter };
  }

  async issueServer({ names, ttl }: ServerRequest): Promise<SignedCertificate> {
    checkTtl(ttl);
    return this.#issue({ kind: 'server', names }, ttl);
  }

  async #issue(subject: Subject, ttl: number): Promise<SignedCertificate> {
    const leaf = await issueLeaf(this.#issuer, this.#leafRequest(subject, ttl));
    const { certificate, privateKey, notBefore, notAfter } = leaf;
    return { certificateChain: certificate + this.#intermediates, privateKey, roots: this.roots, notBefore, notAfter };
  }

  #leafRequest(subject: Subject, ttl: number): LeafRequest {
    const now = this.#now();
    this.checkValid(now);
    return { subject, now, notAfter: Math.min(now + ttl, this.notAfter), earliest: this.#notBefore };
  }
}

function checkRequest(request: CertificateRequest): void {
  if (parseSpiffeId(request.spiffeId) === null) {
    throw new AmbitError(
      'CA_REQUEST_INVALID',
      `${JSON.stringify(request.spiffeId)} is not spiffe://<trust domain>/ns/<namespace>/sa/<service account>`,
    );
  }
  checkTtl(request.ttl);
}

function checkTtl(ttl: number): void {
  if (!Number.isFinite(ttl) || ttl < minimumTtl || ttl > maximumTtl) {
    throw new AmbitError('CA_REQUEST_INVALID', `a certificate lives from 1m to 90d, not ${ttl} ms`);
  }
}

function parseKey(pem: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    // The cause may quote what it read; a key is never repeated in a message.
    throw new AmbitError('CA_INVALID', 'ca-key.pem holds no private key that can be read without a passphrase', {
      cause: new Error(cause instanceof Error ? cause.name : 'unknown error'),
    });
  }
}

function invalid(message: string): AmbitError {
  return new AmbitError('CA_INVALID', message);
}
