import type { Destination, DestinationName, TrafficPolicy } from './model.ts';
import { clusterName } from './names.ts';

/** The policy of a destination; undefined where there is no such destination. */
export type PolicyLookup = (destination: DestinationName | null) => TrafficPolicy | undefined;

export function policyLookup(destinations: readonly Destination[]): PolicyLookup {
  const policies = new Map(destinations.map((destination) => [clusterName(destination), destination.policy]));
  return (destination) => (destination === null ? undefined : policies.get(clusterName(destination)));
}
