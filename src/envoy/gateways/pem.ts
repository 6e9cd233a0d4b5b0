import { X509Certificate } from 'node:crypto';

/** A text of a Secret is at most as long as Kubernetes lets it be, and so many certificates nobody needs. */
const mostBlocks = 1000;

/** Blocks of one kind in a PEM text, each from its first to its last line. */
export function pemBlocks(text: string, label: string): readonly string[] {
  const begin = `-----BEGIN ${label}-----`;
  const end = `-----END ${label}-----`;
  const blocks: string[] = [];
  for (let at = text.indexOf(begin); at >= 0 && blocks.length < mostBlocks; at = text.indexOf(begin, at + 1)) {
    const last = text.indexOf(end, at);
    if (last < 0) break;
    blocks.push(`${text.slice(at, last)}${end}\n`);
  }
  return blocks;
}

/** null: one of them is no certificate. */
export function parseCertificates(text: string): readonly X509Certificate[] | null {
  try {
    return pemBlocks(text, 'CERTIFICATE').map((block) => new X509Certificate(block));
  } catch {
    // Its message could hold what was read.
    return null;
  }
}

/** Bytes of a block; null: it is no base64. */
export function bytesOfBlock(block: string): Buffer | null {
  const body = block.split('\n').slice(1, -2).join('').replace(/\s/g, '');
  return body !== '' && /^[A-Za-z0-9+/]+={0,2}$/.test(body) ? Buffer.from(body, 'base64') : null;
}

/** Whether bytes are one whole SEQUENCE of DER, as certificates, revocation lists and OCSP answers are. */
export function isDerSequence(bytes: Uint8Array): boolean {
  const [tag, first = 0] = bytes;
  if (tag !== 0x30) return false;
  if (first < 0x80) return bytes.length === 2 + first;
  const count = first & 0x7f;
  if (count === 0 || count > 4 || bytes.length < 2 + count) return false;
  const length = bytes.subarray(2, 2 + count).reduce((sum, byte) => sum * 256 + byte, 0);
  return bytes.length === 2 + count + length;
}
