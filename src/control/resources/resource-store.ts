import { create, toBinary } from '@bufbuild/protobuf';
import type { Policy } from '../../model/policy.ts';
import type { LocalPod, MeshSettings, MeshState, Service, Workload } from '../../model/workload.ts';
import { LocalPodSchema, MeshSettingsSchema } from '../../proto/gen/ambit/mesh/v1/mesh_pb.ts';
import { AuthorizationSchema } from '../../proto/gen/istio/security/authorization_pb.ts';
import { AddressSchema, WorkloadSchema } from '../../proto/gen/istio/workload/workload_pb.ts';
import { Slices } from '../../timing/slices.ts';
import { encodePolicy } from '../../wds/authorization.ts';
import { encodeLocalPod, encodeMeshSettings } from '../../wds/mesh.ts';
import { meshSettingsName, typeUrls } from '../../wds/names.ts';
import type { TypeUrl } from '../../wds/names.ts';
import { encodeService } from '../../wds/services.ts';
import { encodeWorkload } from '../../wds/workloads.ts';
import type { Change, StateDifference } from '../../model/state-difference.ts';
import { AddressLookup } from './address-lookup.ts';
import { nodeKey } from './address-names.ts';
import { encodeResource } from './encoded-resource.ts';
import type { StoredResource } from './encoded-resource.ts';
import { Slots } from './slots.ts';
import { SetIndex } from './set-index.ts';

/** A resource that appeared, changed or went away. */
export interface StoreChange {
  readonly type: TypeUrl;
  readonly name: string;
  /** Names under which it is found now and was not, or the reverse. */
  readonly keys: readonly string[];
}

export type StoreListener = (changes: readonly StoreChange[]) => void;

/** What streams are told at once: many small announcements would cost more than their content. */
const largestAnnouncement = 500;

/** All resources, encoded, with the indexes that subscriptions by name need. */
export class ResourceStore {
  readonly #resources = new Map<TypeUrl, Map<string, StoredResource>>(
    Object.values(typeUrls).map((type) => [type, new Map<string, StoredResource>()]),
  );
  readonly #lookup = new AddressLookup('');
  readonly #podsOnNode = new SetIndex();
  readonly #nodeOfPod = new Map<string, string>();
  readonly #localPods = new Map<string, LocalPod>();
  readonly #slots = new Slots();
  readonly #listeners = new Set<StoreListener>();
  #announcement: StoreChange[] = [];

  /** How many resources there are of a type. */
  size(type: TypeUrl): number {
    return this.#named(type).size;
  }

  names(type: TypeUrl): MapIterator<string> {
    return this.#named(type).keys();
  }

  get(type: TypeUrl, name: string): StoredResource | null {
    if (type === typeUrls.localPod) return this.#encodeLocalPod(name);
    if (type === typeUrls.workload) return this.#encodeWorkload(name);
    return this.#map(type).get(name) ?? null;
  }

  /** Above all slots that are taken. */
  get slots(): number {
    return this.#slots.limit;
  }

  /** Names of the resources that a subscribed name stands for. */
  resolve(type: TypeUrl, key: string): ReadonlySet<string> {
    if (type === typeUrls.address || type === typeUrls.workload) return this.#lookup.resolve(key);
    if (type === typeUrls.localPod) return this.#podsOnNode.get(key);
    return new Set(this.#named(type).has(key) ? [key] : []);
  }

  /** @returns what ends it */
  listen(listener: StoreListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Takes over a change and tells the listeners, giving way in between. What is announced is in the store by then. Not to
   * be called again before it is done.
   */
  async commit(difference: StateDifference): Promise<void> {
    const slices = new Slices();
    const { next } = difference;
    if (difference.settingsChanged) this.#commitSettings(next.settings);
    const renamed = next.settings.network !== this.#lookup.network;
    if (renamed) this.#restart(next.settings.network);
    const services = renamed ? everything(difference.services, next.services) : difference.services;
    const workloads = renamed ? everything(difference.workloads, next.workloads) : difference.workloads;
    const steps = this.#steps({ ...difference, services, workloads });
    while (steps.next().done !== true) {
      if (this.#announcement.length >= largestAnnouncement || slices.exhausted) this.#announce();
      if (slices.exhausted) await slices.pause();
    }
    this.#announce();
  }

  /** Policies first: a workload that names one which is not known yet is closed until it comes. */
  *#steps({ next, ...changes }: StateDifference): Generator<undefined, void> {
    yield* each(changes.policies, (change) => {
      this.#commitPolicy(change);
    });
    yield* each(changes.services, (change) => {
      this.#commitService(change);
    });
    yield* each(changes.workloads, (change) => {
      this.#commitWorkload(change);
      this.#followPod(change, next);
    });
    yield* each(changes.localPods, (change) => {
      this.#commitLocalPod(change, next);
    });
  }

  #restart(network: string): void {
    for (const { name, keys } of this.#lookup.restart(network))
      this.#announcement.push({ type: typeUrls.address, name, keys });
  }

  #commitSettings(settings: MeshSettings): void {
    const value = toBinary(MeshSettingsSchema, encodeMeshSettings(settings));
    this.#put(typeUrls.meshSettings, meshSettingsName, value, [meshSettingsName]);
  }

  #commitPolicy({ key, before, after }: Change<Policy>): void {
    const value = after === null ? null : toBinary(AuthorizationSchema, encodePolicy(after));
    this.#put(typeUrls.authorization, key, value, before === null || after === null ? [key] : []);
  }

  #commitService(change: Change<Service>): void {
    const { key, after } = change;
    const keys = this.#lookup.changeService(change);
    this.#put(typeUrls.address, key, after === null ? null : this.#serviceAddress(after), keys);
  }

  #commitWorkload(change: Change<Workload>): void {
    const { key, after } = change;
    const keys = this.#lookup.changeWorkload(change);
    this.#put(typeUrls.address, key, after === null ? null : this.#workloadAddress(after), keys);
    this.#announcement.push({ type: typeUrls.workload, name: key, keys });
  }

  /** A pod says nothing of its node, so one that has moved has not changed. */
  #followPod({ before, after }: Change<Workload>, next: MeshState): void {
    if (before === null || before.node === after?.node) return;
    const pod = next.localPods.get(after?.podUid ?? '');
    if (pod !== undefined) this.#commitLocalPod({ key: pod.uid, before: pod, after: pod }, next);
  }

  #commitLocalPod({ key, after }: Change<LocalPod>, next: MeshState): void {
    const node = after === null ? '' : (next.workloads.get(after.workload)?.node ?? '');
    const former = this.#nodeOfPod.get(key) ?? '';
    if (former !== '') this.#podsOnNode.remove(nodeKey(former), key);
    if (node === '') this.#nodeOfPod.delete(key);
    else {
      this.#nodeOfPod.set(key, node);
      this.#podsOnNode.add(nodeKey(node), key);
    }
    if (after === null) this.#localPods.delete(key);
    else this.#localPods.set(key, after);
    const keys = former === node ? [] : [former, node].filter((name) => name !== '').map(nodeKey);
    this.#announcement.push({ type: typeUrls.localPod, name: key, keys });
  }

  #put(type: TypeUrl, name: string, value: Uint8Array | null, keys: readonly string[]): void {
    const resources = this.#map(type);
    const slot = resources.get(name)?.slot ?? null;
    if (value !== null) {
      const { version, entry } = encodeResource(name, type, value);
      resources.set(name, { version, entry, slot: slot ?? this.#slots.take() });
    } else if (slot !== null) {
      resources.delete(name);
      this.#slots.release(slot);
    }
    this.#announcement.push({ type, name, keys });
  }

  #announce(): void {
    if (this.#announcement.length === 0) return;
    const changes = this.#announcement;
    this.#announcement = [];
    for (const listener of this.#listeners) listener(changes);
  }

  #workloadAddress(workload: Workload): Uint8Array {
    const value = encodeWorkload(workload, this.#lookup.network);
    return toBinary(AddressSchema, create(AddressSchema, { type: { case: 'workload', value } }));
  }

  #serviceAddress(service: Service): Uint8Array {
    const value = encodeService(service, this.#lookup.network);
    return toBinary(AddressSchema, create(AddressSchema, { type: { case: 'service', value } }));
  }

  /** For old clients only, so the bytes are not kept. */
  #encodeWorkload(name: string): StoredResource | null {
    const workload = this.#lookup.workload(name);
    const stored = this.#map(typeUrls.address).get(name);
    if (workload === null || stored === undefined) return null;
    const value = toBinary(WorkloadSchema, encodeWorkload(workload, this.#lookup.network));
    return { ...encodeResource(name, typeUrls.workload, value), slot: stored.slot };
  }

  /** One client alone is sent it, so the bytes are not kept. */
  #encodeLocalPod(name: string): StoredResource | null {
    const pod = this.#localPods.get(name);
    if (pod === undefined) return null;
    const value = toBinary(LocalPodSchema, encodeLocalPod(pod));
    return { ...encodeResource(name, typeUrls.localPod, value), slot: null };
  }

  /** What there is of a type, encoded or not. */
  #named(type: TypeUrl): ReadonlyMap<string, unknown> {
    if (type === typeUrls.localPod) return this.#localPods;
    return this.#map(type === typeUrls.workload ? typeUrls.address : type);
  }

  #map(type: TypeUrl): Map<string, StoredResource> {
    const found = this.#resources.get(type);
    if (found === undefined) throw new RangeError(`no resources of type ${type}`);
    return found;
  }
}

/** What is gone, and everything that is there as if it had just come. */
function everything<T>(changes: readonly Change<T>[], next: ReadonlyMap<string, T>): readonly Change<T>[] {
  const gone = changes.filter(({ after }) => after === null);
  return [...gone, ...[...next].map(([key, after]) => ({ key, before: null, after }))];
}

function* each<T>(changes: readonly Change<T>[], commit: (change: Change<T>) => void): Generator<undefined, void> {
  for (const change of changes) {
    commit(change);
    yield;
  }
}
