import type { Workload } from '../model/workload.ts';

/** Which workloads are endpoints of a service: they say so themselves, also before the service is known. */
export class EndpointIndex {
  readonly #members = new Map<string, Map<string, Workload>>();
  /** Made when asked for, because a push changes many endpoints of one service at once. */
  readonly #sorted = new Map<string, readonly Workload[]>();

  /** In the order of their uids. */
  of(serviceKey: string): readonly Workload[] {
    const known = this.#sorted.get(serviceKey);
    if (known !== undefined) return known;
    const members = [...(this.#members.get(serviceKey)?.values() ?? [])];
    if (members.length === 0) return [];
    members.sort((left, right) => (left.uid < right.uid ? -1 : 1));
    this.#sorted.set(serviceKey, members);
    return members;
  }

  /** @returns keys of the services that have other endpoints now, or the same ones in another condition */
  replace(uid: string, before: Workload | null, after: Workload | null): ReadonlySet<string> {
    const former = [...(before?.services.keys() ?? [])];
    const current = [...(after?.services.keys() ?? [])];
    for (const key of former) this.#remove(key, uid);
    if (after !== null) for (const key of current) this.#add(key, after);
    return new Set([...former, ...current]);
  }

  #add(serviceKey: string, workload: Workload): void {
    const members = this.#members.get(serviceKey) ?? new Map<string, Workload>();
    members.set(workload.uid, workload);
    this.#members.set(serviceKey, members);
    this.#sorted.delete(serviceKey);
  }

  #remove(serviceKey: string, uid: string): void {
    const members = this.#members.get(serviceKey);
    members?.delete(uid);
    if (members?.size === 0) this.#members.delete(serviceKey);
    this.#sorted.delete(serviceKey);
  }
}
