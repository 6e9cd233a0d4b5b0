import { parseAddress } from '../model/address.ts';
import { keys } from './keys.ts';

/** What is asked for one by one: an address, in canonical text, or a service with its endpoints, by its key. */
export type DemandedName = string;

/** No address has the separator of a key. */
export function isService(name: DemandedName): boolean {
  return name.includes('/');
}

/** What an answer that stands on the name has read; null for a text that names nothing. */
export function keyOf(name: DemandedName): string | null {
  if (isService(name)) return keys.told(name);
  const address = parseAddress(name);
  return address === null ? null : keys.address(address);
}
