import type { GatewayServer } from '../server.ts';
import { intersection, orAnyHost } from './hostnames.ts';
import type { HostPattern } from './hostnames.ts';
import type { NamespaceLookup } from './lookups.ts';

/** Whether the server takes anything of a kind and a namespace, whatever hosts it is for. */
export function isAllowed(
  server: GatewayServer,
  route: { readonly kind: string; readonly namespace: string },
  lookups: NamespaceLookup,
): boolean {
  return server.allowed.kinds.includes(route.kind) && isNamespaceAllowed(server, route.namespace, lookups);
}

export function isNamespaceAllowed(
  { allowed: { namespaces }, namespace: own }: GatewayServer,
  namespace: string,
  lookups: NamespaceLookup,
): boolean {
  switch (namespaces) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'same':
      return namespace === own;
    default:
      return lookups.selectsNamespace(namespaces, namespace);
  }
}

/** Which of the hosts the server serves for that namespace: each with the name of the server under which it does. */
export function sharedHosts(
  { hosts }: GatewayServer,
  { namespace, hostnames }: { readonly namespace: string; readonly hostnames: readonly HostPattern[] },
): readonly SharedHost[] {
  const open = hosts.filter((host) => host.namespace === null || host.namespace === namespace);
  return open.flatMap(({ name }) =>
    orAnyHost(hostnames).flatMap((hostname) => {
      const domain = intersection(name, hostname);
      return domain === null ? [] : [{ name, domain }];
    }),
  );
}

export interface SharedHost {
  /** Of the server. */
  readonly name: HostPattern;
  /** What of it is asked for. */
  readonly domain: HostPattern;
}
