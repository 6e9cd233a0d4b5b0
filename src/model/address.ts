/** IP addresses and blocks, pure: text in, canonical text and bytes out. */

export type Family = 4 | 6;

/** Four or sixteen bytes in network order. An IPv4-mapped IPv6 address is IPv4: sockets show one peer in both ways. */
export interface IpAddress {
  readonly family: Family;
  readonly bytes: Uint8Array;
  /** Canonical text: dotted decimal, or RFC 5952. */
  readonly text: string;
}

/** A block of addresses; bits after the prefix are zero. */
export interface Cidr {
  readonly family: Family;
  readonly bytes: Uint8Array;
  /** 0 to 32 or 128, counted in the family's own bits. */
  readonly prefixLength: number;
  /** Canonical text, always with the length. */
  readonly text: string;
}

const mappedPrefix = 96;

/** Bits of an address of that family. */
export function addressLength(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** Null where the text is no address. Zones (`fe80::1%eth0`), leading zeros and short forms (`10.1`) are refused. */
export function parseAddress(text: string): IpAddress | null {
  const raw = text.includes(':') ? parseV6(text) : parseV4(text);
  return raw === null ? null : addressFromBytes(raw);
}

/** Canonical text of an address, null where the text is none. */
export function canonicalAddress(text: string): string | null {
  return parseAddress(text)?.text ?? null;
}

/** Throws a RangeError unless there are 4 or 16 bytes. */
export function addressFromBytes(raw: Uint8Array): IpAddress {
  if (raw.length !== 4 && raw.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${raw.length}`);
  const bytes = isMapped(raw) ? raw.slice(12) : raw;
  if (bytes.length === 4) return { family: 4, bytes, text: bytes.join('.') };
  return { family: 6, bytes, text: formatV6(bytes) };
}

/**
 * Null where the text is no block. An address alone is the block of itself; bits after the prefix are cleared, as
 * Kubernetes and Istio do. A mapped block shorter than /96 is refused: it would name IPv4 and IPv6 addresses at once.
 */
export function parseCidr(text: string): Cidr | null {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === null) return null;
  if (slash < 0) return cidrOf(address, addressLength(address.family));
  const suffix = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(suffix)) return null;
  const written = Number(suffix);
  const mapped = address.family === 4 && text.includes(':');
  const length = mapped ? written - mappedPrefix : written;
  return length < 0 || length > addressLength(address.family) ? null : cidrOf(address, length);
}

/** The block of the first `prefixLength` bits of the address. */
export function cidrOf(address: IpAddress, prefixLength: number): Cidr {
  const bytes = Uint8Array.from(address.bytes, (byte, index) => byte & maskByte(prefixLength, index));
  const base = address.family === 4 ? bytes.join('.') : formatV6(bytes);
  return { family: address.family, bytes, prefixLength, text: `${base}/${prefixLength}` };
}

export function cidrContains(cidr: Cidr, address: IpAddress): boolean {
  return (
    cidr.family === address.family &&
    commonPrefixLength(cidr.bytes, address.bytes, cidr.prefixLength) === cidr.prefixLength
  );
}

/** How many leading bits two addresses of one family share, at most `limit`. */
export function commonPrefixLength(left: Uint8Array, right: Uint8Array, limit: number): number {
  const whole = Math.ceil(limit / 8);
  for (let index = 0; index < whole; index++) {
    const difference = (left[index] ?? 0) ^ (right[index] ?? 0);
    if (difference !== 0) return Math.min(limit, index * 8 + Math.clz32(difference) - 24);
  }
  return limit;
}

/** Bit `index` of an address, counted from the most significant one. */
export function bitAt(bytes: Uint8Array, index: number): 0 | 1 {
  return (((bytes[index >> 3] ?? 0) >> (7 - (index & 7))) & 1) as 0 | 1;
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function maskByte(prefixLength: number, index: number): number {
  const bits = Math.min(8, Math.max(0, prefixLength - index * 8));
  return (0xff00 >> bits) & 0xff;
}

function isMapped(bytes: Uint8Array): boolean {
  if (bytes.length !== 16) return false;
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

function parseV4(text: string): Uint8Array | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    // A leading zero means octal to some parsers and decimal to others, so two programs could read two addresses.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null;
    bytes[index] = Number(part);
  }
  return bytes;
}

function parseV6(text: string): Uint8Array | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (head === null || tail === null) return null;
  const missing = 16 - head.length - tail.length;
  // `::` stands for at least one group of zeros.
  if (halves.length === 1 ? missing !== 0 : missing < 2) return null;
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

/** Bytes of `a:b:c`, the last group being dotted decimal where the text ends there. */
function parseGroups(text: string, last: boolean): number[] | null {
  if (text === '') return [];
  const groups = text.split(':');
  const bytes: number[] = [];
  for (const [index, group] of groups.entries()) {
    const parsed = last && index === groups.length - 1 && group.includes('.') ? parseV4(group) : parseGroup(group);
    if (parsed === null) return null;
    bytes.push(...parsed);
  }
  return bytes;
}

function parseGroup(group: string): number[] | null {
  if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return null;
  const value = Number.parseInt(group, 16);
  return [value >> 8, value & 0xff];
}

/** RFC 5952: lower case, no leading zeros, the longest (first of equals) run of two or more zero groups as `::`. */
function formatV6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, index) => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0));
  const run = longestZeroRun(groups);
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}
