import { cidrContains, parseCidr } from './address.ts';
import type { IpAddress } from './address.ts';
import { isControlAddress } from './automatic-address.ts';

export type SpecialKind =
  'unspecified' | 'loopback' | 'link-local' | 'multicast' | 'reserved' | 'broadcast' | 'control';

/** Where whoever answers takes the one who asks for the node itself: link-local, and where clouds tell machines who they are. */
export const nodeBlocks: readonly string[] = [
  '169.254.0.0/16',
  'fe80::/10',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '192.0.0.192/32',
  'fd00:ec2::254/128',
  'fd20:ce::254/128',
];
const parsedBlocks = nodeBlocks.flatMap((text) => parseCidr(text) ?? []);

export function isOfTheNode(address: IpAddress): boolean {
  return parsedBlocks.some((block) => cidrContains(block, address));
}

/** Null for an address that belongs to somebody. */
export function specialKind(address: IpAddress): SpecialKind | null {
  const { family, bytes } = address;
  const [first = 0, second = 0] = bytes;
  if (isControlAddress(address)) return 'control';
  if (bytes.every((byte) => byte === 0)) return 'unspecified';
  if (family === 4) {
    if (first === 127) return 'loopback';
    if (first === 169 && second === 254) return 'link-local';
    if (bytes.every((byte) => byte === 255)) return 'broadcast';
    if (first >= 240) return 'reserved';
    return first >= 224 ? 'multicast' : null;
  }
  if (bytes.at(-1) === 1 && bytes.subarray(0, -1).every((byte) => byte === 0)) return 'loopback';
  if (first === 0xfe && (second & 0xc0) === 0x80) return 'link-local';
  return first === 0xff ? 'multicast' : null;
}
