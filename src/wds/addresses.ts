import { create } from '@bufbuild/protobuf';
import { addressFromBytes, parseAddress } from '../model/address.ts';
import { NetworkAddressSchema } from '../proto/gen/istio/workload/workload_pb.ts';
import type { NetworkAddress } from '../proto/gen/istio/workload/workload_pb.ts';

/** Bytes of an address; none for a text that is no address. */
export function encodeAddress(text: string): readonly Uint8Array[] {
  const address = parseAddress(text);
  return address === null ? [] : [address.bytes];
}

/** Canonical text, or null with a note among the problems. */
export function decodeAddress(bytes: Uint8Array, problems: string[]): string | null {
  if (bytes.length === 4 || bytes.length === 16) return addressFromBytes(bytes).text;
  problems.push(`an address has 4 or 16 bytes, not ${bytes.length}`);
  return null;
}

export function encodeNetworkAddress(network: string, text: string): readonly NetworkAddress[] {
  return encodeAddress(text).map((address) => create(NetworkAddressSchema, { network, address }));
}

/** Single addresses of our own network. Blocks, and what lies behind another network's gateway, are not supported yet. */
export function decodeNetworkAddresses(
  addresses: readonly NetworkAddress[],
  network: string,
  problems: string[],
): readonly string[] {
  return addresses
    .filter((entry) => entry.network === network && isSingle(entry))
    .flatMap(({ address }) => decodeAddress(address, problems) ?? []);
}

function isSingle({ address, length }: NetworkAddress): boolean {
  return length === undefined || length === address.length * 8;
}
