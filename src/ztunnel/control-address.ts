import { addressLength, commonPrefixLength, parseAddress } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';

/**
 * Where a waypoint's proxy finds the control plane: addresses that nobody has, so that only the engine of its node can lead
 * there, with and without a cluster. They lie in the blocks from which control planes choose addresses for ServiceEntries, at
 * their very ends.
 */
export const CONTROL_ADDRESSES = ['240.240.255.254', '2001:2:0:ffff:ffff:ffff:ffff:fffe'] as const;
export const CONTROL_PORT = 15010;

const parsed = CONTROL_ADDRESSES.flatMap((text) => parseAddress(text) ?? []);

export function isControlAddress({ text }: IpAddress): boolean {
  return parsed.some((control) => control.text === text);
}

/** Length of the widest block around another address that leaves them out. */
export function lengthOutsideControl({ family, bytes }: IpAddress): number {
  const whole = addressLength(family);
  const lengths = parsed
    .filter((control) => control.family === family)
    .map((control) => commonPrefixLength(bytes, control.bytes, whole) + 1);
  return Math.min(whole, Math.max(0, ...lengths));
}
