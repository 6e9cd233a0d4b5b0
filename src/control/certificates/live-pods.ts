import { formatSpiffeId } from '../../model/identity.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { Workload } from '../../model/workload.ts';

/** Which pods run where: what a node may have certificates for follows from it. */
export interface LivePods {
  /** Identity of the pod `namespace/name`, if it runs on that node. */
  identityOf(node: string, pod: string): SpiffeId | null;
  /** Some pod with the identity runs on that node. */
  runsOn(node: string, identity: SpiffeId): boolean;
  /** Some pod with the identity runs anywhere. */
  runs(identity: SpiffeId): boolean;
}

/** Over the workloads that are in force at the moment of the question. */
export function livePods(workloads: () => ReadonlyMap<string, Workload>): LivePods {
  let indexed: { readonly of: unknown; readonly index: PodIndex } | null = null;
  /** Made anew by the first question after a change: a node that comes back asks for all its identities in a row. */
  const index = (): PodIndex => {
    const current = workloads();
    if (indexed?.of !== current) indexed = { of: current, index: indexPods(current.values()) };
    return indexed.index;
  };
  return {
    identityOf: (node, pod) => index().identities.get(`${node} ${pod}`) ?? null,
    runsOn: (node, identity) => index().running.has(`${node} ${formatSpiffeId(identity)}`),
    runs: (identity) => index().running.has(formatSpiffeId(identity)),
  };
}

interface PodIndex {
  /** By `node namespace/name`; neither holds a space. */
  readonly identities: ReadonlyMap<string, SpiffeId>;
  /** SPIFFE ids, and `node id`. */
  readonly running: ReadonlySet<string>;
}

function indexPods(workloads: Iterable<Workload>): PodIndex {
  const identities = new Map<string, SpiffeId>();
  const running = new Set<string>();
  for (const workload of workloads) {
    if (!isPod(workload)) continue;
    const { node, trustDomain, namespace, serviceAccount } = workload;
    const identity: SpiffeId = { trustDomain, namespace, serviceAccount };
    const spiffeId = formatSpiffeId(identity);
    identities.set(`${node} ${namespace}/${workload.name}`, identity);
    running.add(spiffeId).add(`${node} ${spiffeId}`);
  }
  return { identities, running };
}

/** Only pods of the mesh have identities; one of the host's network would lend its node's to whoever asks. */
function isPod({ podUid, hostNetwork, protocol }: Workload): boolean {
  return podUid !== null && !hostNetwork && protocol === 'hbone';
}
