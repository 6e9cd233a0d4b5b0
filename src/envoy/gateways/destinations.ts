import type { Destination } from '../model.ts';

/**
 * What a gateway can send to. A destination that is wherever its client meant to go leads nowhere from here: clients mean the gateway
 * itself, or whatever they write into a header of PROXY protocol.
 */
export function reachableFromOutside(destinations: readonly Destination[]): readonly Destination[] {
  return destinations.filter(({ policy }) => policy.balancer.kind !== 'passthrough');
}
