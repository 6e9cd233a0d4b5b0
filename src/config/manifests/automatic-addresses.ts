import { createHash } from 'node:crypto';
import type { ServiceEntryDocument } from './schemas/service-entry.ts';
import { parseAddress } from '../../model/address.ts';
import type { Family } from '../../model/address.ts';
import { AUTOMATIC_ADDRESSES, automaticAddress, isAutomaticAddress } from '../../model/automatic-address.ts';
import { byAge } from './age.ts';

const autoallocateLabel = 'networking.istio.io/enable-autoallocate-ip';
const families: readonly Family[] = [4, 6];

/** Hosts of one namespace that addresses are chosen for: whoever may write entries there takes none from those of others. */
export const mostHostsOfNamespace = 4096;

/** As `status.addresses` of a ServiceEntry has it. */
export interface HostAddress {
  readonly host: string;
  readonly value: string;
}

/** Whether addresses are chosen for the hosts of an entry: it has none of its own, and one would lead somewhere. */
export function wantsAddresses({ metadata, spec }: Pick<ServiceEntryDocument, 'metadata' | 'spec'>): boolean {
  if (spec.addresses.length > 0 || spec.resolution === 'NONE' || spec.resolution === 'DYNAMIC_DNS') return false;
  return metadata.labels[autoallocateLabel]?.toLowerCase() !== 'false';
}

/** Those that were chosen for the hosts of an entry, in canonical text: by host, which may be very many. */
export function chosenAddresses({ status }: Pick<ServiceEntryDocument, 'status'>): (host: string) => readonly string[] {
  const byHost = new Map<string, string[]>();
  for (const { host, value } of status.addresses) {
    const address = parseAddress(value);
    if (address === null || !isAutomaticAddress(address)) continue;
    const key = (host ?? '').toLowerCase();
    const known = byHost.get(key);
    if (known === undefined) byHost.set(key, [address.text]);
    else known.push(address.text);
  }
  const ofAll = byHost.get('') ?? [];
  return (host) => [...new Set([...(byHost.get(host) ?? []), ...ofAll])];
}

/**
 * One address of each family for each host that wants them. What a host has it keeps; where two have one, the older entry does. New ones
 * follow from the names, so that the same documents get the same addresses wherever this is worked out.
 *
 * @param most hosts of one namespace; what has an address keeps it, and counts
 * @returns by `namespace/name` of the entries that want addresses; a host gets none when they are used up
 */
export function assignAddresses(
  documents: Iterable<ServiceEntryDocument>,
  most = mostHostsOfNamespace,
): ReadonlyMap<string, readonly HostAddress[]> {
  const all = [...documents];
  const wanting = all.filter(wantsAddresses).toSorted(byAge);
  const owners = new Map<string, string>();
  for (const document of wanting) keep(document, owners);
  const pools = families.map((family) => new Pool(family));
  for (const address of [...owners.keys(), ...all.flatMap(writtenAddresses)]) {
    for (const pool of pools) pool.take(address);
  }
  const quota = new Quota(owners.values(), most);
  return new Map(wanting.map((document) => [keyOf(document), assigned(document, owners, pools, quota)]));
}

function keep(document: ServiceEntryDocument, owners: Map<string, string>): void {
  const chosen = chosenAddresses(document);
  for (const host of hostsOf(document)) {
    const known = chosen(host);
    for (const family of families) {
      const free = known.find((address) => isOf(family, address) && !owners.has(address));
      if (free !== undefined) owners.set(free, hostKey(document, host));
    }
  }
}

function assigned(
  document: ServiceEntryDocument,
  owners: ReadonlyMap<string, string>,
  pools: readonly Pool[],
  quota: Quota,
): readonly HostAddress[] {
  const chosen = chosenAddresses(document);
  return hostsOf(document).flatMap((host) => {
    const key = hostKey(document, host);
    const known = chosen(host).filter((address) => owners.get(address) === key);
    if (known.length === 0 && !quota.take(key)) return [];
    return pools.flatMap((pool) => {
      const value = known.find((address) => isOf(pool.family, address)) ?? pool.choose(key);
      return value === null ? [] : [{ host, value }];
    });
  });
}

/** How many more hosts of each namespace get addresses. */
class Quota {
  readonly #most: number;
  readonly #taken = new Map<string, number>();

  /** @param holders keys of the hosts that have addresses already, some of them more than once */
  constructor(holders: Iterable<string>, most: number) {
    this.#most = most;
    for (const key of new Set(holders)) this.#count(key);
  }

  /** @returns whether the host may have an address */
  take(key: string): boolean {
    if ((this.#taken.get(namespaceIn(key)) ?? 0) >= this.#most) return false;
    this.#count(key);
    return true;
  }

  #count(key: string): void {
    const namespace = namespaceIn(key);
    this.#taken.set(namespace, (this.#taken.get(namespace) ?? 0) + 1);
  }
}

/** Of a `hostKey`, which begins with it. */
function namespaceIn(key: string): string {
  return key.slice(0, key.indexOf('/'));
}

/** The addresses of a family that are nobody's yet. */
class Pool {
  readonly family: Family;
  readonly #taken = new Set<string>();
  #isEmpty = false;

  constructor(family: Family) {
    this.family = family;
  }

  take(address: string): void {
    if (isOf(this.family, address)) this.#taken.add(address);
  }

  /** The first that is free on a way of the key's own through all of them: names that begin alike do not go on alike. */
  choose(key: string): string | null {
    if (this.#isEmpty) return null;
    const found = freeAddress(this.family, key, this.#taken);
    if (found === null) this.#isEmpty = true;
    else this.#taken.add(found);
    return found;
  }
}

function freeAddress(family: Family, key: string, taken: ReadonlySet<string>): string | null {
  const digest = createHash('sha256').update(key).digest();
  const first = digest.readUInt32BE(0) % AUTOMATIC_ADDRESSES;
  const step = 1 + (digest.readUInt32BE(4) % (AUTOMATIC_ADDRESSES - 1));
  for (let tried = 0; tried < AUTOMATIC_ADDRESSES; tried++) {
    const address = automaticAddress(family, (first + tried * step) % AUTOMATIC_ADDRESSES);
    if (!taken.has(address)) return address;
  }
  return null;
}

/** Which addresses people have written into entries: they are not given to others, but take none away. */
function writtenAddresses({ spec }: ServiceEntryDocument): readonly string[] {
  return spec.addresses.flatMap((text) => parseAddress(text.split('/')[0] ?? '')?.text ?? []);
}

function hostsOf({ spec }: ServiceEntryDocument): readonly string[] {
  return [...new Set(spec.hosts)].filter((host) => !host.startsWith('*'));
}

function isOf(family: Family, address: string): boolean {
  return address.includes(':') === (family === 6);
}

function keyOf({ metadata }: ServiceEntryDocument): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function hostKey(document: ServiceEntryDocument, host: string): string {
  return `${keyOf(document)}/${host}`;
}
