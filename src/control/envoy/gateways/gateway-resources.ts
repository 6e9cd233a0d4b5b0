import type { CollectionGraph } from '../../../derive/collections/collection-graph.ts';
import type { DerivedCollection, Read } from '../../../derive/collections/derived-collection.ts';
import { buildPortListeners } from '../../../envoy/gateways/listeners.ts';
import { buildPortRoutes } from '../../../envoy/gateways/site-routes.ts';
import type { Destination } from '../../../envoy/model.ts';
import type { Destinations, WaypointResources } from '../destinations.ts';

import { routesResource } from '../routes-resource.ts';
import type { WaypointHttp } from '../waypoint-http.ts';
import type { GatewayGroup } from './gateway-groups.ts';
import { gatewayListener } from './gateway-listener.ts';
import type { GatewaySite } from './gateway-sites.ts';

export interface GatewayResourceInputs {
  readonly groups: DerivedCollection<GatewayGroup>;
  readonly sites: DerivedCollection<GatewaySite>;
  readonly destinations: Destinations;
  readonly http: WaypointHttp;
}

/** What the Envoys of gateways are told besides secrets and where they send to: routes change without their listeners. */
export function createGatewayResources(
  graph: CollectionGraph,
  { groups, sites, destinations, http }: GatewayResourceInputs,
): readonly DerivedCollection<WaypointResources>[] {
  const known = ({ waypoint, hostnames }: GatewaySite, read: Read): readonly Destination[] =>
    destinations.ofHosts(waypoint, hostnames, read);
  const listeners = graph.derive<GatewaySite, WaypointResources>({
    name: 'listeners of gateways',
    from: sites,
    reads: [destinations.hosts, groups, http.settings],
    compute: (site, read) => {
      const labels = read.get(groups, site.waypoint)?.workload ?? null;
      const surroundings = { destinations: known(site, read), http: http.read(read), labels };
      const built = buildPortListeners(site.port, surroundings);
      return {
        waypoint: site.waypoint,
        resources: built.map((listener) => gatewayListener(listener, site.documents)),
        conditions: [],
      };
    },
  });
  const routes = graph.derive<GatewaySite, WaypointResources>({
    name: 'routes of gateways',
    from: sites,
    reads: [destinations.hosts],
    compute: (site, read) => {
      const built = buildPortRoutes(site.port, { destinations: known(site, read) });
      const resources = built.map((configuration) => routesResource(configuration, site.origins));
      return { waypoint: site.waypoint, resources, conditions: [] };
    },
  });
  return [listeners, routes];
}
