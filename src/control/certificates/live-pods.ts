import { formatSpiffeId } from '../../model/identity.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { Change } from '../../model/state-difference.ts';
import type { Workload } from '../../model/workload.ts';

/** Which pods run where: what a node may have certificates for follows from it. */
export class LivePods {
  /** By `node namespace/name`; neither holds a space. */
  readonly #identities = new Map<string, SpiffeId>();
  /** How many pods there are of each SPIFFE id, and of each `node id`. */
  readonly #running = new Map<string, number>();

  /** Takes over what has changed, workload by workload; to be told of every change, in order. */
  *update(changes: readonly Change<Workload>[]): Generator<undefined, void> {
    for (const { before, after } of changes) {
      if (before !== null && isPod(before)) this.#remove(before);
      if (after !== null && isPod(after)) this.#add(after);
      yield;
    }
  }

  /** Identity of the pod `namespace/name`, if it runs on that node. */
  identityOf(node: string, pod: string): SpiffeId | null {
    return this.#identities.get(`${node} ${pod}`) ?? null;
  }

  /** Some pod with the identity runs on that node. */
  runsOn(node: string, identity: SpiffeId): boolean {
    return this.#running.has(`${node} ${formatSpiffeId(identity)}`);
  }

  /** Some pod with the identity runs anywhere. */
  runs(identity: SpiffeId): boolean {
    return this.#running.has(formatSpiffeId(identity));
  }

  #add(workload: Workload): void {
    const { node, trustDomain, namespace, serviceAccount } = workload;
    this.#identities.set(placeOf(workload), { trustDomain, namespace, serviceAccount });
    const spiffeId = formatSpiffeId({ trustDomain, namespace, serviceAccount });
    for (const key of [spiffeId, `${node} ${spiffeId}`]) this.#running.set(key, (this.#running.get(key) ?? 0) + 1);
  }

  #remove(workload: Workload): void {
    this.#identities.delete(placeOf(workload));
    const spiffeId = formatSpiffeId(workload);
    for (const key of [spiffeId, `${workload.node} ${spiffeId}`]) {
      const count = (this.#running.get(key) ?? 0) - 1;
      if (count > 0) this.#running.set(key, count);
      else this.#running.delete(key);
    }
  }
}

function placeOf({ node, namespace, name }: Workload): string {
  return `${node} ${namespace}/${name}`;
}

/** Only pods of the mesh have identities; one of the host's network would lend its node's to whoever asks. */
function isPod({ podUid, hostNetwork, protocol }: Workload): boolean {
  return podUid !== null && !hostNetwork && protocol === 'hbone';
}
