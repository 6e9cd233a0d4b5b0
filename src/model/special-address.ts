import { cidrContains, parseCidr } from './address.ts';
import type { IpAddress } from './address.ts';
import { isControlAddress } from './automatic-address.ts';

export type SpecialKind =
  'unspecified' | 'loopback' | 'link-local' | 'multicast' | 'reserved' | 'broadcast' | 'control';

/**
 * Where whoever answers takes the one who asks for the node itself: link-local (RFC 3927, RFC 4291 §2.5.6), and where clouds, by their
 * own documentation, tell machines who they are and give them credentials.
 */
export const nodeBlocks: readonly string[] = [
  // AWS, Azure, Google Cloud, Oracle, OpenStack and others have 169.254.169.254, Amazon ECS and EKS 169.254.170.2 and .23.
  '169.254.0.0/16',
  // OpenStack has fe80::a9fe:a9fe.
  'fe80::/10',
  // Alibaba Cloud ECS.
  '100.100.100.200/32',
  // Azure: the host of the machine, with its agent's wire server.
  '168.63.129.16/32',
  // Oracle Cloud Infrastructure Classic.
  '192.0.0.192/32',
  // AWS EC2.
  'fd00:ec2::254/128',
  // Amazon EKS: the agent that gives pods their credentials.
  'fd00:ec2::23/128',
  // Google Compute Engine.
  'fd20:ce::254/128',
  // Oracle Cloud Infrastructure.
  'fd00:c1::a9fe:a9fe/128',
  // Scaleway.
  'fd00:42::42/128',
  // Akamai (Linode).
  'fd00:a9fe:a9fe::1/128',
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
