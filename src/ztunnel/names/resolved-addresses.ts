import { parseAddress } from '../../model/address.ts';
import type { Family, IpAddress } from '../../model/address.ts';
import { isAutomaticAddress, isControlAddress } from '../../model/automatic-address.ts';
import { isOfTheNode, specialKind } from '../../model/special-address.ts';
import type { MeshView } from '../mesh-view.ts';
import { outboundPolicyOf } from '../outbound-policy.ts';
import type { OutboundPolicy } from '../outbound-policy.ts';

/**
 * What a name leads to, of the family that the client used, else of the other; null where nobody knows. Whoever answers for the name
 * chooses its addresses, and could name the client itself, its node, or what stands for a name again: those are none, unless
 * `outboundTrafficPolicy` allows them.
 */
export function resolvedAddresses(view: MeshView, hostname: string, family: Family): readonly string[] | null {
  const found = view.resolved(hostname);
  if (found === null) return null;
  const policy = outboundPolicyOf(view.settings());
  const usable = found.flatMap((text) => parseAddress(text) ?? []).filter((address) => mayLeadTo(address, policy));
  const same = usable.filter((address) => address.family === family);
  return (same.length > 0 ? same : usable).map(({ text }) => text);
}

function mayLeadTo(address: IpAddress, policy: OutboundPolicy): boolean {
  if (policy.refuses(address) || isControlAddress(address)) return false;
  const isSpecial = specialKind(address) !== null || isOfTheNode(address) || isAutomaticAddress(address);
  return !isSpecial || policy.allows(address);
}
