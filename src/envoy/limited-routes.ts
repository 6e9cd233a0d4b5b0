import type { RouteSchema } from '../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import type { RouteConfiguration } from '../proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { routeMetadata } from './security/limit-rules.ts';
import type { Init } from './values.ts';

/** By what a limit of a route knows its requests. @param limited `namespace/name` of the routes that have one */
export function limitedBy(
  { name }: { readonly name: string },
  limited: ReadonlySet<string>,
): Pick<Init<typeof RouteSchema>, 'metadata'> {
  const found = [...limited].find((of) => name.startsWith(`${of}/`));
  if (found === undefined) return {};
  return { metadata: { filterMetadata: { [routeMetadata.namespace]: { [routeMetadata.key]: found } } } };
}

/** Which routes have a limit, as far as there are requests for them. */
export function limitedIn({ virtualHosts }: RouteConfiguration): ReadonlySet<string> {
  const names = virtualHosts.flatMap(({ routes }) =>
    routes.map(({ metadata }) => metadata?.filterMetadata[routeMetadata.namespace]?.[routeMetadata.key]),
  );
  return new Set(names.filter((name) => typeof name === 'string'));
}
