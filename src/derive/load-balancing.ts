import type { LoadBalancing, RoutingScope } from '../model/workload.ts';
import type { Labels } from './selectors.ts';

export const distributionAnnotation = 'networking.istio.io/traffic-distribution';

const zoneScopes: readonly RoutingScope[] = ['network', 'region', 'zone'];
const distributions: ReadonlyMap<string, readonly RoutingScope[]> = new Map<string, readonly RoutingScope[]>([
  ['PreferClose', zoneScopes],
  ['PreferSameZone', zoneScopes],
  ['PreferSameNode', [...zoneScopes, 'subzone', 'node']],
]);

export const knownDistributions: readonly string[] = [...distributions.keys()];

/** What a Service or ServiceEntry asks for: its own field first, then Istio's annotation. Null: nothing. */
export function trafficDistribution(field: string | null, annotations: Labels): string | null {
  return field ?? annotations[distributionAnnotation] ?? null;
}

/** How endpoints are preferred; a word that is not known prefers none. */
export function distributed(wanted: string | null, healthPolicy: LoadBalancing['healthPolicy']): LoadBalancing {
  const scopes = distributions.get(wanted ?? '');
  return scopes === undefined
    ? { mode: 'standard', scopes: [], healthPolicy }
    : { mode: 'failover', scopes, healthPolicy };
}

/** What is said of a word that is not known. */
export function unknownDistribution(wanted: string | null): string | null {
  if (wanted === null || distributions.has(wanted)) return null;
  return (
    `trafficDistribution ${wanted} is not known (${knownDistributions.join(', ')}): ` +
    'endpoints are chosen without it'
  );
}
