import { formatSpiffeId } from '../../model/identity.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { Change } from '../../model/state-difference.ts';
import type { NodePod } from '../../model/workload.ts';

/**
 * Which pods run where: what a node may have certificates for follows from it. There may be 100,000, so nothing is kept here that
 * their pods do not hold already, but for one text for each identity.
 */
export class LivePods {
  /** By UID; also those outside of the mesh, for the agents are among them. */
  readonly #pods = new Map<string, NodePod>();
  /** By `namespace/name`. */
  readonly #named = new Map<string, NodePod>();
  /** By SPIFFE id: how many pods of the mesh each node runs. */
  readonly #running = new Map<string, Map<string, number>>();
  /** By SPIFFE id: how many waypoints' pods run as it. */
  readonly #waypoints = new Map<string, number>();

  /** Takes over what has changed, pod by pod; to be told of every change, in order. */
  *update(changes: readonly Change<NodePod>[]): Generator<undefined, void> {
    for (const { key, before, after } of changes) {
      if (before !== null) this.#remove(key, before);
      if (after !== null) this.#add(key, after);
      yield;
    }
  }

  /** The pod with the UID, in the mesh or not. */
  withUid(uid: string): NodePod | null {
    return this.#pods.get(uid) ?? null;
  }

  /** Identity of the pod `namespace/name` of the mesh, if it runs on that node. */
  identityOf(node: string, name: string): SpiffeId | null {
    const pod = this.#named.get(name);
    return pod?.wanted === true && pod.node === node ? pod.identity : null;
  }

  /** Some pod of the mesh with the identity runs on that node. */
  runsOn(node: string, identity: SpiffeId): boolean {
    return this.#running.get(formatSpiffeId(identity))?.has(node) ?? false;
  }

  /** Some pod of the mesh with the identity runs anywhere. */
  runs(identity: SpiffeId): boolean {
    return this.#running.has(formatSpiffeId(identity));
  }

  /** Some waypoint's pod runs as the identity. */
  isWaypoint(identity: SpiffeId): boolean {
    return this.#waypoints.has(formatSpiffeId(identity));
  }

  #add(key: string, pod: NodePod): void {
    this.#pods.set(pod.uid, pod);
    this.#named.set(key, pod);
    if (pod.wanted) this.#count(pod, 1);
    if (pod.handover) this.#countWaypoint(pod, 1);
  }

  #remove(key: string, pod: NodePod): void {
    // Another one may have its UID by now, where manifests give out UIDs.
    if (this.#pods.get(pod.uid)?.name === pod.name) this.#pods.delete(pod.uid);
    this.#named.delete(key);
    if (pod.wanted) this.#count(pod, -1);
    if (pod.handover) this.#countWaypoint(pod, -1);
  }

  #countWaypoint({ identity }: NodePod, difference: 1 | -1): void {
    const spiffeId = formatSpiffeId(identity);
    const count = (this.#waypoints.get(spiffeId) ?? 0) + difference;
    if (count > 0) this.#waypoints.set(spiffeId, count);
    else this.#waypoints.delete(spiffeId);
  }

  #count({ node, identity }: NodePod, difference: 1 | -1): void {
    const spiffeId = formatSpiffeId(identity);
    const nodes = this.#running.get(spiffeId) ?? new Map<string, number>();
    const count = (nodes.get(node) ?? 0) + difference;
    if (count > 0) nodes.set(node, count);
    else nodes.delete(node);
    if (nodes.size > 0) this.#running.set(spiffeId, nodes);
    else this.#running.delete(spiffeId);
  }
}
