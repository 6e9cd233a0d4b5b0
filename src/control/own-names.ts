import { hostname, networkInterfaces } from 'node:os';

/** Names of a control plane in a cluster, as agents and stock ztunnels are set to call it. */
const usual = ['istiod.istio-system.svc', 'istiod.istio-system', 'istiod', 'localhost'];

/** All names and addresses by which this process may be reached. */
export function ownNames(more: readonly string[]): readonly string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) =>
    (entries ?? []).map(({ address }) => address),
  );
  // A link-local address carries its zone, which is this machine's word and no part of an address elsewhere.
  const reachable = addresses.filter((address) => !address.includes('%') && !address.startsWith('fe80:'));
  const host = /^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(hostname()) ? [hostname()] : [];
  return [...new Set([...usual, ...host, '127.0.0.1', '::1', ...reachable, ...more])];
}
