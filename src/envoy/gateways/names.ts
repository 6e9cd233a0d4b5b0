import type { GatewayPort } from './model.ts';

/** Names of listeners as Istio's gateways have them, whatever family they listen on. */
export function listenerName({ number }: Pick<GatewayPort, 'number'>): string {
  return `0.0.0.0_${number}`;
}

/** Of HTTP/3. */
export function quicListenerName({ number }: Pick<GatewayPort, 'number'>): string {
  return `udp_0.0.0.0_${number}`;
}

/** Has no filters, so Envoy ends every connection that comes to it. */
export const closedChain = 'closed';
