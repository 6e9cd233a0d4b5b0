import type { EnvoyResources } from '../build.ts';
import { destinationClusters } from '../clusters.ts';
import { buildEndpoints } from '../endpoints.ts';
import { gatewayDestinations } from './destinations.ts';
import { buildPortListeners } from './listeners.ts';
import type { GatewayInput } from './model.ts';
import { buildPortRoutes } from './site-routes.ts';

/** All resources of one gateway but its secrets. Pure: equal inputs give equal resources. Its chains are those of its listeners. */
export function buildGateway(input: GatewayInput): EnvoyResources {
  const reached = { ...input, destinations: gatewayDestinations(input.destinations) };
  return {
    listeners: input.ports.flatMap((port) => buildPortListeners(port, input)),
    filterChains: [],
    clusters: destinationClusters(reached),
    endpoints: buildEndpoints(reached),
    routes: input.ports.flatMap((port) => buildPortRoutes(port, input)),
  };
}
