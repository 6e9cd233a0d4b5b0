import type { HttpRule } from '../../envoy/http-rules.ts';
import type { BoundService, DestinationName } from '../../envoy/model.ts';

/** Hosts that a service's rules send to, its own among them. */
export function hostnamesNamed({ hostname, ports, security }: BoundService): readonly string[] {
  const named = ports.flatMap(({ rules, connections }) => [
    ...(rules ?? []).flatMap(ofRule),
    ...(connections ?? []).flatMap(({ targets }) => targets.map(({ destination }) => destination)),
  ]);
  const asked = security.policies.flatMap(({ provider }) => provider?.destination.hostname ?? []);
  return [...new Set([hostname, ...asked, ...named.flatMap((name) => name?.hostname ?? [])])].sort();
}

function ofRule({ action }: HttpRule): readonly (DestinationName | null)[] {
  if (action.kind !== 'forward') return [];
  return [...action.targets, ...action.mirrors].map(({ destination }) => destination);
}
