import type { ControlEndpoint } from '../config/setting-parsers.ts';
import type { Relay } from '../native/binding.ts';

/**
 * How waypoints of this node reach the control plane that the agent itself talks to; null without TLS, where nobody could be
 * vouched for.
 *
 * @param name in the server's certificate, where that is not the host
 */
export function relayTo({ target, tls }: ControlEndpoint, name: string | null): Relay | null {
  if (!tls) return null;
  const colon = target.lastIndexOf(':');
  const address = target.slice(0, colon).replace(/^\[|\]$/g, '');
  return { address, port: Number(target.slice(colon + 1)), serverName: name ?? address };
}
