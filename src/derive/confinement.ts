import { byAge } from '../config/manifests/age.ts';
import { parseAddress } from '../model/address.ts';
import { isOfTheNode } from '../model/special-address.ts';
import type { Condition, MeshSettings } from '../model/workload.ts';
import { condition } from './context.ts';
import { limited } from './limited.ts';
import { sourceText } from './service-sources.ts';
import type { ClaimedServices, ServiceSource } from './service-sources.ts';

/** What tells whose a name or an address is. */
export interface Claims {
  readonly settings: MeshSettings;
  /** Services of entries that have the address. */
  readonly at: (address: string) => readonly ServiceSource[];
  /** A control plane has chosen the addresses of the service. */
  readonly isChosen: (source: ServiceSource) => boolean;
  /** The address is that of a node. */
  readonly isOfNode: (address: string) => boolean;
}

/**
 * Leaves what claims somebody else's name or address to its own namespace: whoever may write an entry anywhere could otherwise lead
 * everybody's traffic to himself. In his own namespace he may.
 */
export function confined(claimed: ClaimedServices, claims: Claims): ClaimedServices {
  const conditions: Condition[] = [];
  const sources = claimed.sources.map((source) => {
    const { service } = source;
    if (service.visibility === 'namespace' || service.namespace === claims.settings.rootNamespace) return source;
    const why = foreignHost(source, claims.settings) ?? foreignAddress(source, claims);
    if (why === null) return source;
    const message = `${why}: only its own namespace sees ${service.hostname}`;
    conditions.push(condition(sourceText(source), 'Accepted', 'NotItsOwn', message));
    return { ...source, service: { ...service, visibility: 'namespace' as const }, confined: true as const };
  });
  if (conditions.length === 0) return claimed;
  return { sources, conditions: [...claimed.conditions, ...limited(conditions)] };
}

/** Names of Services, whether they are there or not: also one that is yet to come is its namespace's. */
function foreignHost({ service }: ServiceSource, { clusterDomain }: MeshSettings): string | null {
  const labels = service.hostname.replace(new RegExp(`\\.${escaped(clusterDomain)}$`), '').split('.');
  if (labels.at(-1) !== 'svc') return null;
  const owner = labels.at(-2) ?? '';
  return owner === service.namespace ? null : `${service.hostname} is a name of namespace ${owner}`;
}

function escaped(text: string): string {
  return text.replaceAll('.', '\\.');
}

function foreignAddress(source: ServiceSource, claims: Claims): string | null {
  for (const vip of source.service.vips) {
    const address = parseAddress(vip);
    if (address !== null && isOfTheNode(address)) return `${vip} is where nodes and clouds answer`;
    if (claims.isOfNode(vip)) return `${vip} is the address of a node`;
    const owner = claims.at(vip).find((other) => isOfAnother(other, source) && comesBefore(other, source, claims));
    if (owner !== undefined) return `${vip} is the address of ${sourceText(owner)}`;
  }
  return null;
}

/** What is its own namespace's alone takes nothing from anybody, and one host may be that of many. */
function isOfAnother({ service }: ServiceSource, source: ServiceSource): boolean {
  const { namespace, hostname } = source.service;
  return service.visibility === 'public' && service.namespace !== namespace && service.hostname !== hostname;
}

/** What was chosen for a host is nobody's to write; else the older entry has it. */
function comesBefore(other: ServiceSource, source: ServiceSource, { isChosen }: Claims): boolean {
  if (isChosen(other) !== isChosen(source)) return isChosen(other);
  return byAge(other, source) < 0;
}
