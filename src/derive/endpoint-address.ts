import type { EndpointDocument } from '../config/manifests/schemas/endpoint.ts';
import { parseAddress } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';
import type { MeshSettings } from '../model/workload.ts';

/** Why something that was written is not honoured. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
}

export type EndpointAddress =
  { readonly address: string; readonly problem: null } | { readonly address: null; readonly problem: Problem };

type SpecialKind = 'unspecified' | 'loopback' | 'link-local' | 'multicast' | 'reserved' | 'broadcast';

/** Where an endpoint can be reached, in canonical text. */
export function endpointAddress(endpoint: EndpointDocument, settings: MeshSettings): EndpointAddress {
  const { address, network } = endpoint;
  if (network !== null && network !== '' && network !== settings.network) {
    return refused('OtherNetwork', `lies in network ${network}, and other networks cannot be reached yet`);
  }
  if (address === null || address === '') return refused('NoAddress', 'has no address');
  if (address.startsWith('unix://')) return refused('UnixSocket', `${address}: sockets of Unix are not supported`);
  const parsed = parseAddress(address);
  if (parsed === null) return refused('NotResolved', `${address} is no address, and names are not resolved yet`);
  return checkedAddress(parsed);
}

/**
 * A connection to a special address would end at whoever connects, or at its node, and not at what was meant: whoever may
 * write an endpoint could make clients talk to themselves. Kubernetes refuses them in EndpointSlices for the same reason.
 */
export function checkedAddress(address: IpAddress): EndpointAddress {
  const kind = specialKind(address);
  if (kind === null) return { address: address.text, problem: null };
  return refused('ForbiddenAddress', `${address.text} is a ${kind} address, which no endpoint may have`);
}

/** Null for an address that belongs to somebody. */
export function specialKind({ family, bytes }: IpAddress): SpecialKind | null {
  const [first = 0, second = 0] = bytes;
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

function refused(reason: string, message: string): EndpointAddress {
  return { address: null, problem: { reason, message: `${message}: the endpoint is left out` } };
}
