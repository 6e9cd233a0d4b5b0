import { addressLength, commonPrefixLength, parseAddress } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';
import { CONTROL_ADDRESSES } from '../model/automatic-address.ts';

export const CONTROL_PORT = 15010;

const parsed = CONTROL_ADDRESSES.flatMap((text) => parseAddress(text) ?? []);

/** Length of the widest block around another address that leaves them out. */
export function lengthOutsideControl({ family, bytes }: IpAddress): number {
  const whole = addressLength(family);
  const lengths = parsed
    .filter((control) => control.family === family)
    .map((control) => commonPrefixLength(bytes, control.bytes, whole) + 1);
  return Math.min(whole, Math.max(0, ...lengths));
}
