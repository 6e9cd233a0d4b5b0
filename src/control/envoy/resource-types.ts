const prefix = 'type.googleapis.com/envoy.config.';
const tls = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.';

/** What Envoy is told, as xDS names it. */
export const resourceTypes = {
  clusters: `${prefix}cluster.v3.Cluster`,
  endpoints: `${prefix}endpoint.v3.ClusterLoadAssignment`,
  /** Certificates with their keys, and roots: what a gateway shows its clients, and what it asks of them. */
  secrets: `${tls}Secret`,
  listeners: `${prefix}listener.v3.Listener`,
  filterChains: `${prefix}listener.v3.FilterChain`,
  routes: `${prefix}route.v3.RouteConfiguration`,
} as const;

export type ResourceType = (typeof resourceTypes)[keyof typeof resourceTypes];

/** Make before break: what is referred to comes before what refers to it. */
export const sendingOrder: readonly ResourceType[] = [
  resourceTypes.clusters,
  resourceTypes.endpoints,
  resourceTypes.secrets,
  resourceTypes.listeners,
  resourceTypes.filterChains,
  resourceTypes.routes,
];

export function isResourceType(type: string): type is ResourceType {
  return (sendingOrder as readonly string[]).includes(type);
}
