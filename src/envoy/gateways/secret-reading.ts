import { certificateTypes } from '../../config/manifests/schemas/secret.ts';
import type { ConfigMapDocument, SecretDocument, SecretKey } from '../../config/manifests/schemas/secret.ts';
import { readChain } from './certificate-chain.ts';
import type { CertificateChain, KeyType } from './certificate-chain.ts';
import type { GatewaySecret } from './model.ts';
import { bytesOfBlock, isDerSequence, parseCertificates, pemBlocks } from './pem.ts';

/** What a Secret or a ConfigMap gives to a gateway. No text here holds anything of what is in it but names of its keys. */
export type SecretReading<Kind extends GatewaySecret['kind'] = GatewaySecret['kind']> =
  | {
      readonly ok: true;
      readonly secret: Extract<GatewaySecret, { kind: Kind }>;
      /** Milliseconds since the epoch: from then on it, or one of the roots, is not good any more. */
      readonly expires: number;
      /** Of a certificate that is not good any more, to be read after the Secret's name; else null. */
      readonly expired: string | null;
      /** Of a certificate; null of roots. */
      readonly keyType: KeyType | null;
      /** What is not as it should be, and works all the same. */
      readonly remarks: readonly string[];
    }
  /** To be read after the Secret's name: `is …`, `has no …`. */
  | { readonly ok: false; readonly problem: string };

/** @param name under which Envoy asks for it. @param now milliseconds since the epoch */
export function readCertificate(document: SecretDocument, name: string, now: number): SecretReading<'certificate'> {
  if (!certificateTypes.includes(document.type)) return wrongType(document);
  const chain = valueOf(document, 'tls.crt', 'cert');
  const key = valueOf(document, 'tls.key', 'key');
  if (chain === null) return problem('has no key tls.crt (or cert)');
  if (key === null) return problem('has no key tls.key (or key)');
  const read = readChain(chain.toString('utf8'), key.toString('utf8'));
  if (typeof read === 'string') return problem(`cannot be used: ${read}`);
  const { leaf } = read;
  const from = Date.parse(leaf.validFrom);
  const to = Date.parse(leaf.validTo);
  if (from > now) return problem(`cannot be used yet: its certificate is good from ${new Date(from).toISOString()} on`);
  const staple = stapleOf(document, read);
  return {
    ok: true,
    secret: { kind: 'certificate', name, chain: read.chain, key: read.key, staple: staple.bytes },
    expires: to,
    // Clients refuse it by themselves. Who serves it already goes on with it, and so does everybody else.
    expired:
      to <= now ? `has a certificate that has expired at ${new Date(to).toISOString()}: clients refuse it` : null,
    keyType: read.keyType,
    remarks: [...read.remarks, ...staple.remarks],
  };
}

/** Roots that certificates of clients, or of backends, are measured by. */
export function readRoots(document: SecretDocument, name: string, now: number): SecretReading<'roots'> {
  if (!certificateTypes.includes(document.type)) return wrongType(document);
  const roots = valueOf(document, 'ca.crt', 'cacert');
  if (roots === null) return problem('has no key ca.crt (or cacert)');
  const revoked = valueOf(document, 'ca.crl', 'crl');
  return rootsOf(roots.toString('utf8'), revoked?.toString('utf8') ?? null, name, now);
}

/** Likewise, of a ConfigMap. */
export function readRootsMap({ data }: ConfigMapDocument, name: string, now: number): SecretReading<'roots'> {
  const roots = data['ca.crt'];
  if (roots === undefined) return problem('has no key ca.crt');
  return rootsOf(roots, data['ca.crl'] ?? null, name, now);
}

function problem(text: string): { readonly ok: false; readonly problem: string } {
  return { ok: false, problem: text };
}

function wrongType({ type }: SecretDocument): { readonly ok: false; readonly problem: string } {
  return problem(`is of type ${JSON.stringify(type.slice(0, 100))}: it must be of ${certificateTypes.join(' or ')}`);
}

/** An empty one is none. */
function valueOf({ data }: SecretDocument, ...keys: readonly SecretKey[]): Buffer | null {
  for (const key of keys) {
    const value = data[key]?.reveal();
    if (value !== undefined && value.length > 0) return value;
  }
  return null;
}

/** Envoy refuses a whole server whose staple is of another certificate. */
function stapleOf(document: SecretDocument, { leaf }: CertificateChain) {
  const bytes = valueOf(document, 'tls.ocsp-staple');
  if (bytes === null) return { bytes: null, remarks: [] };
  const serial = Buffer.from(
    leaf.serialNumber.padStart(leaf.serialNumber.length + (leaf.serialNumber.length % 2), '0'),
    'hex',
  );
  if (isDerSequence(bytes) && bytes.includes(serial)) return { bytes: new Uint8Array(bytes), remarks: [] };
  return { bytes: null, remarks: ['its tls.ocsp-staple is no answer about its certificate, and is left out'] };
}

function rootsOf(roots: string, revoked: string | null, name: string, now: number): SecretReading<'roots'> {
  const certificates = parseCertificates(roots);
  if (certificates === null) return problem('cannot be used: one of its roots cannot be read');
  if (certificates.length === 0) return problem('cannot be used: there is no certificate in its roots: PEM is needed');
  const good = certificates.filter(({ validTo }) => Date.parse(validTo) > now);
  if (good.length === 0) return problem('cannot be used: all of its roots have expired');
  const list = revoked === null || revoked.trim() === '' ? null : revocationList(revoked);
  // Without it those would be let in whom it was written to keep out.
  if (list === false) return problem('cannot be used: its revocation list cannot be read: PEM is needed');
  const expired = certificates.length - good.length;
  return {
    ok: true,
    secret: {
      kind: 'roots',
      name,
      roots: good.map((certificate) => certificate.toString()).join(''),
      revocationList: list,
    },
    expires: Math.min(...good.map(({ validTo }) => Date.parse(validTo))),
    expired: null,
    keyType: null,
    remarks: expired === 0 ? [] : [`${expired} of its roots have expired, and are left out`],
  };
}

/** false: it is none. */
function revocationList(text: string): string | false {
  const blocks = pemBlocks(text, 'X509 CRL');
  const isWhole = blocks.length > 0 && blocks.every((block) => isDerSequence(bytesOfBlock(block) ?? Buffer.alloc(0)));
  return isWhole ? blocks.join('') : false;
}
