import type { BoundPort, BoundService, DestinationName } from './model.ts';

/** Names of resources as a stock waypoint has them, so that its users' tools and boards find their way. */

export const waypointListener = 'waypoint';
/** Where the node's engine hands connections over, on loopback. */
export const handoverPort = 15088;

/** Pods that are reached by their own address: chains, and the cluster that sends where the client meant to. */
export const directHttp = 'direct-http';
export const directTcp = 'direct-tcp';
export const directCluster = 'direct';

/** A name of no cluster: what is sent there is answered 500, connections are closed. */
export const missingCluster = 'missing';

/** The chain of those who may not connect, which closes at once. */
export function refusedChain(name: string): string {
  return `${name}|refused`;
}

/** `inbound-vip|80|http|web.default.svc.cluster.local`, with a subset `inbound-vip|80|http/v1|…`. */
export function clusterName({ hostname, port, subset }: DestinationName): string {
  return `inbound-vip|${port}|http${subset === null ? '' : `/${subset}`}|${hostname}`;
}

/** The name in statistics. Envoy takes what is behind a dot for another part of a metric's own name. */
export function statisticsName(name: string): string {
  return name.replaceAll('.', ';');
}

/** Also the name of the chain's routes. */
export function chainName(service: BoundService, port: BoundPort, carried: 'http' | 'tcp'): string {
  return `inbound-vip|${port.number}|${carried}|${service.hostname}`;
}
