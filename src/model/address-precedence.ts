import type { Service, Workload } from './workload.ts';

/**
 * Whether traffic to an address that both have goes to the first: pod with a tunnel > pod > what the client's own namespace has
 * written > tunnel > rest, then by uid.
 */
export function outranks(left: Workload, right: Workload, namespace: string): boolean {
  const difference = workloadRank(left, namespace) - workloadRank(right, namespace);
  return difference === 0 ? left.uid < right.uid : difference > 0;
}

/**
 * Order of services that have one address, as a client's namespace sees them: its own > canonical > the rest, then by key.
 * It does not ask whether the namespace sees them at all.
 */
export function compareAtAddress(left: Service, right: Service, namespace: string): number {
  return serviceRank(right, namespace) - serviceRank(left, namespace) || (keyOf(left) < keyOf(right) ? -1 : 1);
}

export function isVisibleIn({ visibility, namespace: own }: Service, namespace: string): boolean {
  return visibility === 'public' || own === namespace;
}

function workloadRank({ podUid, protocol, namespace: own }: Workload, namespace: string): number {
  const written = own === namespace ? 2 : 0;
  return (podUid === null ? written : 4) + (protocol === 'hbone' ? 1 : 0);
}

function serviceRank(service: Service, namespace: string): number {
  return (service.namespace === namespace ? 2 : 0) + (service.canonical ? 1 : 0);
}

function keyOf({ namespace, hostname }: Service): string {
  return `${namespace}/${hostname}`;
}
