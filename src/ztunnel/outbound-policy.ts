import { cidrContains, parseCidr } from '../model/address.ts';
import type { Cidr, IpAddress } from '../model/address.ts';
import { PrefixTree } from '../model/prefix-tree.ts';
import { nodeBlocks } from '../model/special-address.ts';
import type { MeshSettings, OutboundTrafficPolicy } from '../model/workload.ts';

/** `outboundTrafficPolicy` of the mesh, for decisions. */
export class OutboundPolicy {
  readonly #policy: OutboundTrafficPolicy;
  readonly #allow: readonly Cidr[];
  readonly #refuse: readonly Cidr[];
  readonly #blocks = new PrefixTree();

  constructor(policy: OutboundTrafficPolicy) {
    this.#policy = policy;
    this.#allow = policy.allow.flatMap((text) => parseCidr(text) ?? []);
    this.#refuse = policy.refuse.flatMap((text) => parseCidr(text) ?? []);
    for (const block of [...this.#allow, ...this.#refuse]) this.#blocks.insert(block);
  }

  isRegistryOnly(namespace: string): boolean {
    const { namespaces, mode } = this.#policy;
    const own = Object.hasOwn(namespaces, namespace) ? namespaces[namespace] : undefined;
    return (own ?? mode) === 'REGISTRY_ONLY';
  }

  allows(address: IpAddress): boolean {
    return this.#allow.some((block) => cidrContains(block, address));
  }

  refuses(address: IpAddress): boolean {
    return this.#refuse.some((block) => cidrContains(block, address));
  }

  /** Length of a block around the address in which the settings allow and refuse all alike. */
  prefixLength(address: IpAddress): number {
    return this.#blocks.holePrefixLength(address);
  }
}

const ofTheNode = new PrefixTree();
for (const block of nodeBlocks.flatMap((text) => parseCidr(text) ?? [])) ofTheNode.insert(block);

/** Length of a block around the address of which all is the node's (see `isOfTheNode`), or nothing. */
export function nodeLength(address: IpAddress): number {
  return ofTheNode.holePrefixLength(address);
}

const compiled = new WeakMap<OutboundTrafficPolicy, OutboundPolicy>();

/** Settings change seldom, and decisions are many. */
export function outboundPolicyOf({ outboundTrafficPolicy }: MeshSettings): OutboundPolicy {
  const known = compiled.get(outboundTrafficPolicy);
  if (known !== undefined) return known;
  const policy = new OutboundPolicy(outboundTrafficPolicy);
  compiled.set(outboundTrafficPolicy, policy);
  return policy;
}
