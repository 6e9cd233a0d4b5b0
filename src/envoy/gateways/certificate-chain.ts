import { createPrivateKey } from 'node:crypto';
import type { KeyObject, X509Certificate } from 'node:crypto';
import { parseCertificates, pemBlocks } from './pem.ts';

/** What a server shows, put right as far as that can be done. */
export interface CertificateChain {
  /** PEM: the server's own certificate, then who has signed it, and so on. */
  readonly chain: string;
  /** PEM: the one that fits, and nothing else that stood beside it. */
  readonly key: string;
  readonly leaf: X509Certificate;
  /** Of several certificates of one server each has another one. */
  readonly keyType: KeyType;
  /** What a careful owner would mend. */
  readonly remarks: readonly string[];
}

export type KeyType = 'rsa' | 'ec';

/** Kinds of elliptic curves that Envoy takes, as OpenSSL calls them. */
const curves: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1'];
const leastBits = 2048;

/** A text: why it cannot be used. No text holds anything of what was read. */
export function readChain(chainText: string, keyText: string): CertificateChain | string {
  const certificates = parseCertificates(chainText);
  if (certificates === null) return 'one of its certificates cannot be read';
  if (certificates.length === 0) return 'there is no certificate in it: PEM is needed';
  const key = readKey(keyText);
  if (typeof key === 'string') return key;
  const leaf = certificates.find((certificate) => fits(certificate, key));
  if (leaf === undefined) return 'the key is not that of the certificate';
  const keyType = keyTypeOf(key);
  if (keyType === null)
    return `its key is none that a gateway can use: RSA of ${leastBits} bits or more, or P-256, P-384, P-521`;
  const ordered = inOrder(leaf, certificates);
  const isOrdered = ordered.every((certificate, index) => certificate === certificates[index]);
  return {
    chain: ordered.map((certificate) => certificate.toString()).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    leaf,
    keyType,
    remarks: isOrdered
      ? []
      : ['its certificates are not in order: each is to be followed by the one that has signed it'],
  };
}

function readKey(text: string): KeyObject | string {
  if (pemBlocks(text, 'ENCRYPTED PRIVATE KEY').length > 0 || text.includes('Proc-Type: 4,ENCRYPTED'))
    return 'its key is encrypted, and nobody knows the passphrase';
  try {
    return createPrivateKey(text);
  } catch {
    // Its message could hold what was read.
    return 'its key cannot be read: PEM is needed';
  }
}

function fits(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    return certificate.checkPrivateKey(key);
  } catch {
    return false;
  }
}

function keyTypeOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): KeyType | null {
  if (asymmetricKeyType === 'rsa') return (asymmetricKeyDetails?.modulusLength ?? 0) >= leastBits ? 'rsa' : null;
  const isKnown = asymmetricKeyType === 'ec' && curves.includes(asymmetricKeyDetails?.namedCurve ?? '');
  return isKnown ? 'ec' : null;
}

/** The certificate, then each one's signer. What is left over stays at the end: it may be another way to another root. */
function inOrder(leaf: X509Certificate, all: readonly X509Certificate[]): readonly X509Certificate[] {
  const ordered: X509Certificate[] = [];
  const rest = new Set(all);
  for (let next: X509Certificate | undefined = leaf; next !== undefined; next = signerOf(ordered, rest)) {
    ordered.push(next);
    rest.delete(next);
  }
  return [...ordered, ...rest];
}

function signerOf(
  ordered: readonly X509Certificate[],
  rest: ReadonlySet<X509Certificate>,
): X509Certificate | undefined {
  const last = ordered.at(-1);
  return [...rest].find((candidate) => last?.checkIssued(candidate) === true);
}
