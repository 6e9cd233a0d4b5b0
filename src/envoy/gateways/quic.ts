import type { GatewayPort, ServerTls } from './model.ts';
import { speaksQuic } from './tls-context.ts';
import { tlsProblem } from './tls-problem.ts';

/**
 * PROXY protocol is of TCP: over UDP clients would seem to be the balancer.
 *
 * @returns the UDP port at which clients find HTTP/3 of the server; null: nowhere
 */
export function quicPortOf({ http3, proxyProtocol }: GatewayPort, tls: ServerTls): number | null {
  const isServed = !proxyProtocol && speaksQuic(tls) && tlsProblem(tls) === null;
  return isServed && http3 !== null ? http3.clientPort : null;
}
