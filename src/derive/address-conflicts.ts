import { compareAtAddress, outranks } from '../model/address-precedence.ts';
import type { Condition, Workload } from '../model/workload.ts';
import { condition } from './context.ts';
import { sourceText } from './service-sources.ts';
import type { ServiceSource } from './service-sources.ts';

/** Everything that says it has an address. */
export interface AddressClaims {
  readonly workloads: readonly Workload[];
  readonly services: readonly ServiceSource[];
}

/** `Pod namespace/name`, the document that a workload was made of. */
export function workloadText({ uid }: Pick<Workload, 'uid'>): string {
  const [, , kind = '', namespace = '', name = ''] = uid.split('/');
  return `${kind} ${namespace}/${name}`;
}

/** Addresses that a workload claims; one on the host's network shares the node's, which is nobody's fault. */
export function claimedAddresses(workload: Workload): readonly string[] {
  return workload.hostNetwork && workload.podUid !== null ? [] : workload.addresses;
}

/** What is said of those that do not get the traffic to an address that others have too. */
export function conflictsAt(address: string, { workloads, services }: AddressClaims): readonly Condition[] {
  const [owner] = workloads.filter(({ hostNetwork }) => !hostNetwork).toSorted((a, b) => (outranks(a, b, '') ? -1 : 1));
  if (owner === undefined) return serviceConflicts(address, services);
  const losers = workloads.filter((workload) => workload !== owner && matters(owner, workload));
  // What is written in a namespace comes before its own services alone.
  const isBefore = ({ service }: ServiceSource) => owner.podUid !== null || owner.namespace === service.namespace;
  return [
    ...losers.map((workload) => conflict(workloadText(workload), address, workloadText(owner))),
    ...services.filter(isBefore).map((source) => conflict(sourceText(source), address, workloadText(owner))),
    ...serviceConflicts(
      address,
      services.filter((source) => !isBefore(source)),
    ),
  ];
}

/** Two plain places at one address get the same traffic, whoever it is said to be for. */
function matters(owner: Workload, other: Workload): boolean {
  if (workloadText(owner) === workloadText(other)) return false;
  return owner.protocol === 'hbone' || (owner.podUid !== null && other.podUid !== null);
}

/** Hosts of one document share its addresses, and a namespace may have its own service for a hostname. */
function serviceConflicts(address: string, services: readonly ServiceSource[]): readonly Condition[] {
  const [owner, ...others] = services.toSorted((a, b) => compareAtAddress(a.service, b.service, ''));
  if (owner === undefined) return [];
  const losers = others.filter(
    (source) => sourceText(source) !== sourceText(owner) && source.service.hostname !== owner.service.hostname,
  );
  return losers.map((source) => {
    const elsewhere = source.metadata.namespace === owner.metadata.namespace ? '' : ', but from its own namespace';
    return conflict(sourceText(source), address, sourceText(owner) + elsewhere);
  });
}

function conflict(resource: string, address: string, owner: string): Condition {
  const message = `the address ${address} is that of others too: traffic to it goes to ${owner}`;
  return condition(resource, 'Accepted', 'AddressConflict', message);
}
