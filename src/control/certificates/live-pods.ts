import { formatSpiffeId } from '../../model/identity.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { Change } from '../../model/state-difference.ts';
import type { NodePod } from '../../model/workload.ts';

/** Which pods run where: what a node may have certificates for follows from it. */
export class LivePods {
  /** By UID; also those outside of the mesh, for the agents are among them. */
  readonly #pods = new Map<string, NodePod>();
  /** By `node namespace/name`; neither holds a space. */
  readonly #identities = new Map<string, SpiffeId>();
  /** How many pods there are of each SPIFFE id, and of each `node id`. */
  readonly #running = new Map<string, number>();

  /** Takes over what has changed, pod by pod; to be told of every change, in order. */
  *update(changes: readonly Change<NodePod>[]): Generator<undefined, void> {
    for (const { before, after } of changes) {
      if (before !== null) this.#remove(before);
      if (after !== null) this.#add(after);
      yield;
    }
  }

  /** The pod with the UID, in the mesh or not. */
  withUid(uid: string): NodePod | null {
    return this.#pods.get(uid) ?? null;
  }

  /** Identity of the pod `namespace/name` of the mesh, if it runs on that node. */
  identityOf(node: string, pod: string): SpiffeId | null {
    return this.#identities.get(`${node} ${pod}`) ?? null;
  }

  /** Some pod of the mesh with the identity runs on that node. */
  runsOn(node: string, identity: SpiffeId): boolean {
    return this.#running.has(`${node} ${formatSpiffeId(identity)}`);
  }

  /** Some pod of the mesh with the identity runs anywhere. */
  runs(identity: SpiffeId): boolean {
    return this.#running.has(formatSpiffeId(identity));
  }

  #add(pod: NodePod): void {
    this.#pods.set(pod.uid, pod);
    if (!pod.wanted) return;
    this.#identities.set(placeOf(pod), pod.identity);
    for (const key of keysOf(pod)) this.#running.set(key, (this.#running.get(key) ?? 0) + 1);
  }

  #remove(pod: NodePod): void {
    // Another one may have its UID by now, where manifests give out UIDs.
    if (this.#pods.get(pod.uid)?.name === pod.name) this.#pods.delete(pod.uid);
    if (!pod.wanted) return;
    this.#identities.delete(placeOf(pod));
    for (const key of keysOf(pod)) {
      const count = (this.#running.get(key) ?? 0) - 1;
      if (count > 0) this.#running.set(key, count);
      else this.#running.delete(key);
    }
  }
}

function placeOf({ node, namespace, name }: NodePod): string {
  return `${node} ${namespace}/${name}`;
}

function keysOf({ node, identity }: NodePod): readonly string[] {
  const spiffeId = formatSpiffeId(identity);
  return [spiffeId, `${node} ${spiffeId}`];
}
