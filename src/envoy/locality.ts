import type { Locality } from '../model/workload.ts';
import type { Failover, LocalityPolicy, LocalityScope, LocalityShare } from './model.ts';

/** How early and how much the endpoints of a locality are used. */
export interface Place {
  /** 0 is used first; a later one only when too few of the earlier are healthy. */
  readonly priority: number;
  /** null: by its endpoints. */
  readonly weight: number | null;
}

/** `region/zone/subzone`. */
export function localityKey({ region, zone, subzone }: Locality): string {
  return `${region}/${zone}/${subzone}`;
}

export function placeOf(locality: Locality, own: Locality, policy: LocalityPolicy): Place {
  switch (policy.kind) {
    case 'any':
      return { priority: 0, weight: null };
    case 'prefer':
      return {
        priority: distance(locality, own, policy.scopes) + detour(locality, own, policy.failover),
        weight: null,
      };
    case 'weighted':
      return { priority: 0, weight: shareOf(locality, policy.distribution) };
  }
}

/** How many of the scopes, the widest first, are not shared. */
function distance(locality: Locality, own: Locality, scopes: readonly LocalityScope[]): number {
  const shared = scopes.findIndex((scope) => locality[scope] !== own[scope]);
  return shared < 0 ? 0 : scopes.length - shared;
}

/** A region that ours does not fail over to comes after the one that it does. */
function detour(locality: Locality, own: Locality, failover: readonly Failover[]): number {
  const wanted = failover.find(({ from }) => from === own.region);
  return wanted === undefined || locality.region === own.region || locality.region === wanted.to ? 0 : 1;
}

function shareOf(locality: Locality, distribution: readonly LocalityShare[]): number {
  return distribution.find((share) => matchesLocality(locality, share.locality))?.weight ?? 0;
}

/** `region/zone/subzone`, or less of it, with `*` for any of the rest. */
export function matchesLocality({ region, zone, subzone }: Locality, pattern: string): boolean {
  const have = [region, zone, subzone];
  for (const [index, part] of pattern.split('/').entries()) {
    if (part === '*') return true;
    if (part !== have[index]) return false;
  }
  return true;
}
