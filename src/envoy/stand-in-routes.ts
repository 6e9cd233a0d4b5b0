import { clone, create } from '@bufbuild/protobuf';
import { RouteSchema } from '../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import type { Route } from '../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import { RouteConfigurationSchema } from '../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import type { RouteConfiguration } from '../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { anyRequest } from './http-rules.ts';
import { limitedBy, limitedIn } from './limited-routes.ts';
import { respondAction } from './route-action.ts';
import { routeMatch } from './route-match.ts';

/** What stands in for routes that Envoy refuses. */

/** The routes of one, with what the other asks of those who come: at a waypoint by the virtual host, at a gateway as a whole. */
export function joinedRoutes(routes: RouteConfiguration, security: RouteConfiguration): RouteConfiguration {
  const asked = new Map(security.virtualHosts.map((host) => [host.name, host.typedPerFilterConfig]));
  // A limit of a route knows it by this alone, and the route may be older than the limit.
  const limited = limitedIn(security);
  return create(RouteConfigurationSchema, {
    ...routes,
    typedPerFilterConfig: security.typedPerFilterConfig,
    virtualHosts: routes.virtualHosts.map((host) => ({
      ...host,
      routes: host.routes.map((route) => marked(route, limited)),
      typedPerFilterConfig: asked.get(host.name) ?? {},
    })),
  });
}

function marked(route: Route, limited: ReadonlySet<string>): Route {
  const copy = clone(RouteSchema, route);
  const { metadata } = create(RouteSchema, limitedBy(route, limited));
  if (metadata === undefined) delete copy.metadata;
  else copy.metadata = metadata;
  return copy;
}

const unavailable = {
  kind: 'respond',
  status: 503,
  body: 'the proxy refuses what it was told of this place\n',
} as const;

/** Every request is answered 503. */
export function closedRoutes({ name }: Pick<RouteConfiguration, 'name'>): RouteConfiguration {
  const action = { case: 'directResponse' as const, value: respondAction(unavailable) };
  const routes = [{ name: 'closed', match: routeMatch(anyRequest), action }];
  return create(RouteConfigurationSchema, { name, virtualHosts: [{ name, domains: ['*'], routes }] });
}
