import { addressFromBytes, canonicalAddress } from '../../model/address.ts';

/**
 * Addresses that a network namespace owns, from `fib_trie` of any of its processes: each stands before a line `/32 host LOCAL`,
 * once in each table.
 */
export function addressesOfFibTrie(text: string): readonly string[] {
  const addresses = new Set<string>();
  let leaf: string | null = null;
  for (const line of text.split('\n')) {
    leaf = /^\s*\|-- (\d+\.\d+\.\d+\.\d+)$/.exec(line)?.[1] ?? leaf;
    const canonical = leaf !== null && /^\s*\/32 host LOCAL$/.test(line) ? canonicalAddress(leaf) : null;
    if (canonical !== null) addresses.add(canonical);
  }
  return [...addresses];
}

/** Likewise from `if_inet6`: each line begins with an address in 32 digits. */
export function addressesOfIfInet6(text: string): readonly string[] {
  return text.split('\n').flatMap((line) => {
    const digits = /^([0-9a-f]{32}) /.exec(line)?.[1];
    return digits === undefined ? [] : [addressFromBytes(Buffer.from(digits, 'hex')).text];
  });
}
