import { isForbiddenAddress } from '../../envoy/forbidden-addresses.ts';
import { cidrContains, parseCidr } from '../../model/address.ts';
import type { Cidr, IpAddress } from '../../model/address.ts';
import { isOfTheNode } from '../../model/special-address.ts';

/** Nobody on the internet has these: they lead into this cluster, this machine or its cloud. */
const privateBlocks: readonly Cidr[] = [
  '10.0.0.0/8',
  '100.64.0.0/10',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '240.0.0.0/4',
  'fc00::/7',
  '64:ff9b::/96',
].flatMap((text) => parseCidr(text) ?? []);

/** Where keys may be fetched from, by `jwksSources` of the MeshSettings: whoever writes a manifest chooses what we ask. */
export class AllowedSources {
  readonly #internet: boolean;
  readonly #blocks: readonly Cidr[];
  readonly #hosts: readonly string[];

  constructor(sources: readonly string[]) {
    this.#internet = sources.includes('public');
    this.#blocks = sources.flatMap((source) => parseCidr(source) ?? []);
    this.#hosts = sources.filter((source) => source !== 'public' && parseCidr(source) === null);
  }

  /** @param address one that the host has */
  allows(host: string, address: IpAddress): boolean {
    if (this.#blocks.some((block) => cidrContains(block, address))) return true;
    if (isForbiddenAddress(address) || isOfTheNode(address)) return false;
    if (this.#hosts.some((pattern) => matches(pattern, host.toLowerCase()))) return true;
    return this.#internet && !privateBlocks.some((block) => cidrContains(block, address));
  }
}

function matches(pattern: string, host: string): boolean {
  return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : host === pattern;
}
