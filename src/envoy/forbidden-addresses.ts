import { cidrContains, parseCidr } from '../model/address.ts';
import type { Cidr, IpAddress } from '../model/address.ts';
import { isControlAddress } from '../model/automatic-address.ts';

/** Loopback, link-local, unspecified and multicast: what means another thing to whoever dials it than to whoever writes it. */
const blocks: readonly Cidr[] = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '255.255.255.255/32',
  '::/128',
  '::1/128',
  'fe80::/10',
  'ff00::/8',
].flatMap((text) => parseCidr(text) ?? []);

/**
 * No endpoint may have it, whoever it is of; which others a proxy does not send to, such as metadata services of clouds, is told to it
 * with its endpoints, for settings may allow those. What a waypoint sends to its control plane goes there with the waypoint's own certificate.
 */
export function isForbiddenAddress(address: IpAddress): boolean {
  return isControlAddress(address) || blocks.some((block) => cidrContains(block, address));
}
