import type { EndpointDocument } from '../config/manifests/schemas/endpoint.ts';
import { parseAddress } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';
import { specialKind } from '../model/special-address.ts';
import type { MeshSettings } from '../model/workload.ts';

/** Why something that was written is not honoured. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
}

export type EndpointAddress =
  { readonly address: string; readonly problem: null } | { readonly address: null; readonly problem: Problem };

/** Where an endpoint is, as it is written: a name in lower case. */
export type EndpointPlace = EndpointAddress | { readonly name: string; readonly problem: null };

/** Labels of letters, digits and `-`; the last one is no number, lest somebody takes it for an address of another notation. */
const hostPattern = /^(?=.{1,253}$)([a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?\.)*[a-z0-9]*[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** The same where names may stand, which are looked up. */
export function endpointPlace(endpoint: EndpointDocument, settings: MeshSettings): EndpointPlace {
  const name = (endpoint.address ?? '').toLowerCase().replace(/\.$/, '');
  const isName = !name.includes(':') && parseAddress(name) === null && hostPattern.test(name);
  if (!isName) return endpointAddress(endpoint, settings);
  if (isOfOtherNetwork(endpoint, settings)) return otherNetwork(endpoint);
  if (isLocalName(name)) return refused('ForbiddenAddress', `${name} is whoever looks it up`);
  return { name, problem: null };
}

/** By RFC 6761. */
export function isLocalName(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost');
}

/** Where an endpoint can be reached, in canonical text. */
export function endpointAddress(endpoint: EndpointDocument, settings: MeshSettings): EndpointAddress {
  const { address } = endpoint;
  if (isOfOtherNetwork(endpoint, settings)) return otherNetwork(endpoint);
  if (address === null || address === '') return refused('NoAddress', 'has no address');
  if (address.startsWith('unix://')) return refused('UnixSocket', `${address}: sockets of Unix are not supported`);
  const parsed = parseAddress(address);
  if (parsed === null)
    return refused(
      'NotResolved',
      `${address} is no address, and names are looked up for ServiceEntries with resolution DNS alone`,
    );
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

function isOfOtherNetwork({ network }: EndpointDocument, settings: MeshSettings): boolean {
  return network !== null && network !== '' && network !== settings.network;
}

function otherNetwork({ network }: EndpointDocument): EndpointAddress {
  return refused('OtherNetwork', `lies in network ${network ?? ''}, and other networks cannot be reached yet`);
}

function refused(reason: string, message: string): EndpointAddress & { readonly address: null } {
  return { address: null, problem: { reason, message: `${message}: the endpoint is left out` } };
}
