import { canonicalAddress, cidrContains, parseCidr } from './address.ts';
import type { Cidr, Family, IpAddress } from './address.ts';

/**
 * Where a waypoint's proxy finds the control plane: addresses that nobody has, so that only the engine of its node can lead
 * there, with and without a cluster. They lie in the blocks from which control planes choose addresses for ServiceEntries, at
 * their very ends.
 */
export const CONTROL_ADDRESSES = ['240.240.255.254', '2001:2:0:ffff:ffff:ffff:ffff:fffe'] as const;

/** As Istio's, so that clients that have looked a name up find it at the same address after a move. */
const blocks: readonly Cidr[] = ['240.240.0.0/16', '2001:2::/48'].flatMap((text) => parseCidr(text) ?? []);
const reserved: ReadonlySet<string> = new Set(['240.240.0.0', '240.240.255.255', '2001:2::', ...CONTROL_ADDRESSES]);

/** How many addresses of a family are given away: a prime, so that every step comes by all of them. */
export const AUTOMATIC_ADDRESSES = 65521;

/** One of `CONTROL_ADDRESSES`. */
export function isControlAddress({ text }: IpAddress): boolean {
  return CONTROL_ADDRESSES.some((control) => control === text);
}

/** The address may be one that a control plane has chosen for a host. */
export function isAutomaticAddress(address: IpAddress): boolean {
  return !reserved.has(address.text) && blocks.some((block) => cidrContains(block, address));
}

/** @param number 0 to `AUTOMATIC_ADDRESSES` - 1 */
export function automaticAddress(family: Family, number: number): string {
  const host = number + 1;
  if (family === 4) return `240.240.${host >> 8}.${host & 0xff}`;
  return canonicalAddress(`2001:2::${host.toString(16)}`) ?? '';
}
