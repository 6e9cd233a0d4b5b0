import type { HttpRule } from '../../envoy/http-rules.ts';
import type { BoundService, ConnectionRule, DestinationName } from '../../envoy/model.ts';
import type { Security } from '../../envoy/security/model.ts';

/** Hosts that a service's rules send to, its own among them. */
export function hostnamesNamed({ hostname, ports, security }: BoundService): readonly string[] {
  const named = ports.flatMap(({ rules, connections }) => [
    ...hostnamesOfRules(rules ?? []),
    ...hostnamesOfConnections(connections ?? []),
  ]);
  return [...new Set([hostname, ...hostnamesAsked(security), ...named])].sort();
}

/** Those that authorizers are asked at. */
export function hostnamesAsked({ policies }: Security): readonly string[] {
  return policies.flatMap(({ provider }) => provider?.destination.hostname ?? []);
}

export function hostnamesOfRules(rules: readonly HttpRule[]): readonly string[] {
  return rules.flatMap(ofRule).flatMap((name) => name?.hostname ?? []);
}

export function hostnamesOfConnections(connections: readonly ConnectionRule[]): readonly string[] {
  return connections.flatMap(({ targets }) => targets.flatMap(({ destination }) => destination?.hostname ?? []));
}

function ofRule({ action }: HttpRule): readonly (DestinationName | null)[] {
  if (action.kind !== 'forward') return [];
  return [...action.targets, ...action.mirrors].map(({ destination }) => destination);
}
