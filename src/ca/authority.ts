import { AmbitError } from '../config/errors.ts';

export interface CertificateRequest {
  /** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. */
  readonly spiffeId: string;
  /** Milliseconds; shortened where the authority's own certificates end earlier. */
  readonly ttl: number;
}

export interface SignedCertificate {
  /** PEM, leaf first, then the intermediate. */
  readonly certificateChain: string;
  /** PKCS#8 PEM. Belongs in memory only. */
  readonly privateKey: string;
  /** PEM of the roots to trust. */
  readonly roots: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Signs certificates for workloads with a key on disk. */
export interface Authority {
  sign(request: CertificateRequest): Promise<SignedCertificate>;
  /** PEM of the roots to trust. */
  readonly roots: string;
  /** When the intermediate or the root ends, whichever is first. Milliseconds since the epoch. */
  readonly notAfter: number;
}

/** Makes root and intermediate in a new or empty folder. @throws AmbitError `CA_EXISTS` and others. */
export function initialiseAuthority(_directory: string): Promise<void> {
  return Promise.reject(new AmbitError('CA_INVALID', 'not written yet'));
}

/** @throws AmbitError `CA_UNREADABLE`, `CA_INSECURE`, `CA_INVALID` or `CA_EXPIRED`, each saying what to do. */
export function loadAuthority(_directory: string): Promise<Authority> {
  return Promise.reject(new AmbitError('CA_INVALID', 'not written yet'));
}
