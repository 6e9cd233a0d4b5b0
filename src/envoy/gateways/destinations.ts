import type { Destination } from '../model.ts';

/**
 * Destinations as a gateway sends to them.
 *
 * One that is wherever its client meant to go leads nowhere from here: clients mean the gateway itself, or whatever they write into a
 * header of PROXY protocol. And what clients speak says nothing of what a destination speaks, for browsers speak HTTP/2 with whoever does:
 * it is HTTP/1.1 where nobody says otherwise, as at Istio's gateways.
 */
export function gatewayDestinations(destinations: readonly Destination[]): readonly Destination[] {
  return destinations.filter(({ policy }) => policy.balancer.kind !== 'passthrough').map(spokenAsSaid);
}

function spokenAsSaid(destination: Destination): Destination {
  const { policy } = destination;
  const { limits } = policy;
  return limits.upgrade === 'default'
    ? { ...destination, policy: { ...policy, limits: { ...limits, upgrade: 'never' } } }
    : destination;
}
