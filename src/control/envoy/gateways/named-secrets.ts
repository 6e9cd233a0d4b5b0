import { placesOf } from '../../../envoy/gateways/secret-names.ts';
import type { GatewayServer, SecretReference } from '../../../envoy/gateways/server.ts';
import type { NamedReference } from '../../named-reference.ts';
import { placeText } from './gateway-secrets.ts';

/** Certificates and roots of a server. */
export function referencesOf({ tls }: GatewayServer): readonly SecretReference[] {
  if (tls === null || tls === 'passthrough') return [];
  return [...tls.certificates, ...(tls.clients === null ? [] : [tls.clients.roots])];
}

/**
 * What servers need, each object once for each namespace whose documents name it.
 *
 * @param own namespace of the gateway's pods
 */
export function namedBy(servers: readonly GatewayServer[], own: string): readonly NamedReference[] {
  const found = new Map<string, NamedReference>();
  for (const server of servers) {
    const { namespace: by, created: since } = server;
    for (const object of referencesOf(server).flatMap((reference) => placesOf(reference, own).map(placeText))) {
      const known = found.get(`${object} ${by}`);
      if (known === undefined || isOlder(since, known.since)) found.set(`${object} ${by}`, { object, by, since });
    }
  }
  return [...found.values()];
}

function isOlder(left: number | null, right: number | null): boolean {
  return (left ?? Infinity) < (right ?? Infinity);
}
