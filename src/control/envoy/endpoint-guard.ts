import type { PodDocument } from '../../config/manifests/schemas/pod.ts';
import { workloadText } from '../../derive/address-conflicts.ts';
import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { Read } from '../../derive/collections/derived-collection.ts';
import type { AnyPresence } from '../../derive/collections/presence-index.ts';
import { condition, isRunning } from '../../derive/context.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { sourceText } from '../../derive/service-sources.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import { gatewayGroup, istioGroup } from '../../envoy/routes/groups.ts';
import { groupOfService } from '../../envoy/routes/lookups.ts';
import type { GrantedTo } from '../../envoy/routes/lookups.ts';
import { canonicalAddress, cidrContains, parseAddress, parseCidr } from '../../model/address.ts';
import { isOfTheNode } from '../../model/special-address.ts';
import type { Condition, Workload } from '../../model/workload.ts';
import type { AddressOwners } from './address-owners.ts';
import type { Grants } from './grants.ts';
import { knownService } from './mesh-lookups.ts';

/** An endpoint that a waypoint or gateway must not dial. */
export interface RefusedEndpoint {
  /** As the endpoint has it: an address or a name. */
  readonly address: string;
  readonly why: string;
}

/** What one service leads to at one waypoint. */
export interface GuardedEndpoints {
  /** `namespace/name` of the Gateway. */
  readonly waypoint: string;
  readonly source: ServiceSource;
  /** And names. */
  readonly addresses: readonly string[];
  /** Those of the endpoints that nobody has written down: the service has selected them. */
  readonly pods: readonly Workload[];
  /** Namespaces whose workloads let the waypoint in. */
  readonly tenants: () => readonly string[];
}

export interface EndpointGuardInputs {
  readonly owners: AddressOwners;
  readonly grants: Grants;
}

/**
 * A waypoint dials what somebody has written down, and those whom it dials see the waypoint: whoever may write endpoints could
 * borrow its name. So it dials nothing that is a node's or takes it for the node, nothing that is another namespace's, and no names
 * that lead who knows where while it stands before others who let it in.
 */
export class EndpointGuard {
  readonly #inputs: EndpointGuardInputs;
  readonly #ofNodes: AnyPresence;
  readonly #contexts: DerivationParts['contexts'];

  constructor({ sources, contexts }: DerivationParts, inputs: EndpointGuardInputs) {
    this.#inputs = inputs;
    this.#contexts = contexts;
    this.#ofNodes = sources.Pod.presence(nodeAddresses);
  }

  get collections(): readonly AnyCollection[] {
    const { owners, grants } = this.#inputs;
    return [this.#ofNodes.collection, this.#contexts.settings, ...owners.collections, ...grants.collections];
  }

  refused(guarded: GuardedEndpoints, read: Read): readonly RefusedEndpoint[] {
    const { waypoint, source, addresses, pods } = guarded;
    const ofPods = new Set(pods.flatMap((workload) => workload.addresses));
    return [...new Set(addresses)].flatMap((address) => {
      const why = ofPods.has(address)
        ? this.#reasonOfNode(address, read)
        : canonicalAddress(address) === null
          ? this.#reasonOfName(guarded, read)
          : (this.#reasonOfPlace(address, read) ?? this.#reasonOfOwner(waypoint, source, address, read));
      return why === null ? [] : [{ address, why }];
    });
  }

  #reasonOfPlace(address: string, read: Read): string | null {
    return this.#reasonOfNode(address, read) ?? this.#reasonOfMetadata(address, read);
  }

  #reasonOfNode(address: string, read: Read): string | null {
    return read.has(this.#ofNodes, address) ? 'an address of a node is no endpoint for a proxy' : null;
  }

  /** A pod may have such an address, where a cloud has none of its own there: only what is written down is looked at. */
  #reasonOfMetadata(text: string, read: Read): string | null {
    const address = parseAddress(text);
    if (address === null || !isOfTheNode(address)) return null;
    const { allow } = this.#contexts.settingsFor(read).outboundTrafficPolicy;
    const isAllowed = allow.flatMap((block) => parseCidr(block) ?? []).some((block) => cidrContains(block, address));
    return isAllowed
      ? null
      : 'nodes and clouds answer there, and outboundTrafficPolicy.allow of the MeshSettings has it not';
  }

  #reasonOfOwner(waypoint: string, source: ServiceSource, address: string, read: Read): string | null {
    const [own = ''] = waypoint.split('/');
    const owner = this.#inputs.owners.of(address, own, read);
    if (owner === null || owner.namespace === source.service.namespace) return null;
    // To what its own namespace has written a waypoint goes as written, whoever else has written something at the address.
    if (owner.podUid === null && own === source.service.namespace) return null;
    const { namespace, name } = owner;
    if (this.#isGranted(source, { ...(owner.podUid === null ? entry : pod), namespace, name }, read)) return null;
    return `it is ${workloadText(owner)}, and no ReferenceGrant in ${owner.namespace} lets ${sourceText(source)} send to it`;
  }

  #isGranted(source: ServiceSource, to: GrantedTo, read: Read): boolean {
    const known = knownService(source);
    const from = { group: groupOfService(known), kind: known.kind, namespace: known.namespace };
    return this.#inputs.grants.granted(from, to, read);
  }

  /** Whoever has the waypoint's own namespace could run a pod in its name, and gains nothing by a name of DNS. */
  #reasonOfName({ waypoint, source, tenants }: GuardedEndpoints, read: Read): string | null {
    const { namespace } = source.service;
    const [own = '', name = ''] = waypoint.split('/');
    if (own === namespace) return null;
    const others = tenants().filter((tenant) => tenant !== namespace);
    if (others.length === 0 || this.#isGranted(source, { ...gateway, namespace: own, name }, read)) return null;
    const shown = others.slice(0, 5).join(', ');
    return `a name may lead anywhere, and the workloads of ${shown} behind ${waypoint} let it in: use a waypoint or gateway of its own namespace or one for such entries alone, unless a ReferenceGrant in ${own} lets it use this one`;
  }
}

/** What is said of the endpoints that are left out. */
export function refusalsOf(source: ServiceSource, refused: readonly RefusedEndpoint[]): readonly Condition[] {
  const byReason = new Map<string, Set<string>>();
  for (const { address, why } of refused) byReason.set(why, (byReason.get(why) ?? new Set()).add(address));
  return [...byReason].map(([why, addresses]) => {
    const shown = [...addresses].sort().slice(0, 5).join(', ');
    return condition(sourceText(source), 'Accepted', 'EndpointNotAllowed', `nothing is sent to ${shown}: ${why}`);
  });
}

const gateway = { group: gatewayGroup, kind: 'Gateway' };
const pod = { group: '', kind: 'Pod' };
const entry = { group: istioGroup, kind: 'WorkloadEntry' };

function nodeAddresses(document: PodDocument): readonly string[] {
  const { spec, status } = document;
  return spec.hostNetwork && isRunning(document) ? status.addresses : [];
}
