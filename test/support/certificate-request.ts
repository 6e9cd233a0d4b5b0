// @peculiar/x509 needs the metadata API before anything of it is loaded.
import 'reflect-metadata';
import { createPrivateKey, webcrypto } from 'node:crypto';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509';
import type { JsonGeneralNames } from '@peculiar/x509';

/** What keys have to be of. */
export const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** PEM. */
export interface CertificateRequest {
  readonly csr: string;
  readonly key: string;
}

export interface RequestOptions {
  readonly names?: JsonGeneralNames;
  readonly critical?: boolean;
  readonly algorithm?: webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams;
}

/** A request for a certificate, wrong in the ways that are asked for. */
export async function certificateRequest(spiffeId: string, options: RequestOptions = {}): Promise<CertificateRequest> {
  const algorithm = options.algorithm ?? p256;
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const names = options.names ?? [{ type: 'url', value: spiffeId }];
  const csr = await Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: algorithm as typeof p256,
    extensions: [new SubjectAlternativeNameExtension(names, options.critical ?? true)],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' });
  return { csr: csr.toString('pem'), key: String(key) };
}
