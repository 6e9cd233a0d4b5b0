import { canonicalAddress } from '../../model/address.ts';
import type { Service, Workload } from '../../model/workload.ts';
import { addressName } from '../../wds/names.ts';

/** No client can ask for it: names with control characters are refused. */
export function nodeKey(node: string): string {
  return `\0node/${node}`;
}

/** `network/address`, for an address that it has for itself. */
export function workloadAddressNames(workload: Workload, network: string): readonly string[] {
  if (workload.hostNetwork) return [];
  return workload.addresses.map((address) => addressName(network, canonicalAddress(address) ?? address));
}

export function serviceAddressNames(service: Service, network: string): readonly string[] {
  return service.vips.map((vip) => addressName(network, vip));
}
