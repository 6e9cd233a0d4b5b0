import type { ServerTls, TlsVersion } from './model.ts';

/** Of TLS up to 1.2, by OpenSSL's names, as Envoy's library has them. */
export const cipherSuites: readonly string[] = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-ECDSA-AES256-SHA',
  'ECDHE-RSA-AES128-SHA',
  'ECDHE-RSA-AES256-SHA',
  'AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-SHA',
  'AES256-SHA',
];

const order: readonly TlsVersion[] = ['1.0', '1.1', '1.2', '1.3'];
const known = new Set(cipherSuites);
/** 32 bytes. */
const base64Hash = /^[A-Za-z0-9+/]{43}=$/;
const hexadecimalHash = /^([0-9a-f]{2}(:[0-9a-f]{2}){31}|[0-9a-f]{64})$/i;

/**
 * What Envoy would refuse the whole port for, all of its servers with it. A server that has such a problem is closed instead.
 *
 * @returns for the operator, after the name of the server; null: none
 */
export function tlsProblem(tls: ServerTls): string | null {
  const { certificates, cipherSuites: suites, clients, minimumVersion, maximumVersion } = tls;
  if (certificates.length === 0) return 'has no certificate';
  if (
    minimumVersion !== null &&
    maximumVersion !== null &&
    order.indexOf(minimumVersion) > order.indexOf(maximumVersion)
  )
    return `has TLS ${minimumVersion} as its lowest version, which is above the highest, ${maximumVersion}`;
  const suite = suites.find((name) => !known.has(name));
  if (suite !== undefined) return `has the cipher suite ${suite}, which is none of ${cipherSuites.join(', ')}`;
  const key = clients?.publicKeyHashes.find((hash) => !base64Hash.test(hash));
  if (key !== undefined) return `has ${key} as hash of a public key, which must be SHA-256 in base64`;
  const certificate = clients?.certificateHashes.find((hash) => !hexadecimalHash.test(hash));
  if (certificate !== undefined)
    return `has ${certificate} as hash of a certificate, which must be SHA-256 in hexadecimal`;
  return null;
}
