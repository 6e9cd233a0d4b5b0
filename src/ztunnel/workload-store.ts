import { isDeepStrictEqual } from 'node:util';
import { parseAddress } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';
import { compilePolicy } from '../model/authorization.ts';
import type { CompiledPolicy } from '../model/authorization.ts';
import type { Policy } from '../model/policy.ts';
import type { LocalPod, MeshSettings, MeshState, Service, WaypointReference, Workload } from '../model/workload.ts';
import type { Relay } from '../native/binding.ts';
import { AddressIndex, indexedAddresses, parsedAddresses } from './address-index.ts';
import { isService, keyOf } from './demanded-name.ts';
import type { DemandedName } from './demanded-name.ts';
import { EndpointIndex } from './endpoint-index.ts';
import { KeyInterest } from './key-interest.ts';
import { keys } from './keys.ts';
import type { AddressOwner, MeshView } from './mesh-view.ts';
import type { Change, StateDifference } from '../model/state-difference.ts';

/** What a change touched, and what of it the engine must forget. */
export interface Invalidation {
  readonly generation: number;
  /** Those of `touched` that answers have named. */
  readonly keys: readonly string[];
  readonly touched: ReadonlySet<string>;
}

/** The mesh in memory, indexed for decisions. The generation tells states between two questions apart. */
export class WorkloadStore implements MeshView {
  readonly node: string;
  readonly onDemand: boolean;
  readonly #addresses = new AddressIndex();
  readonly #endpoints = new EndpointIndex();
  readonly #policies = new Map<string, CompiledPolicy>();
  /** By namespace; those of the whole mesh under the empty name. */
  readonly #policyLists = new Map<string, readonly CompiledPolicy[]>();
  readonly #enrolled = new Set<string>();
  readonly #interest = new KeyInterest();
  /** Of no meaning unless `onDemand`. */
  readonly #settled = new Set<DemandedName>();
  readonly #workloads = new Map<string, Workload>();
  readonly #services = new Map<string, Service>();
  #localPods: ReadonlyMap<string, LocalPod>;
  #settings: MeshSettings;
  /** How many workloads have each DNS name. */
  readonly #names = new Map<string, number>();
  readonly #resolved = new Map<string, readonly string[]>();
  #control: Relay | null = null;
  #touched = new Set<string>();
  #appeared: IpAddress[] = [];
  #state: MeshState;
  #generation = 1;

  /** @param initial a state without workloads, services, policies and pods */
  constructor(node: string, initial: MeshState, onDemand = false) {
    this.node = node;
    this.onDemand = onDemand;
    this.#state = initial;
    this.#settings = initial.settings;
    this.#localPods = initial.localPods;
  }

  /** The last one that was taken in whole. */
  get state(): MeshState {
    return this.#state;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Keys of an answer that goes to the engine: only these are invalidated later. */
  noteAnswered(named: readonly string[]): void {
    this.#interest.note(named);
  }

  /** Takes the change in at one go; for a store that nobody asks meanwhile. */
  commit(difference: StateDifference): Invalidation {
    const steps = this.commitSteps(difference);
    while (steps.next().done !== true);
    return this.finishChange();
  }

  /**
   * Takes the change in object by object. Whoever lets questions be answered in between calls `finishChange` before, and at the end.
   * What decides who may reach the pods of this node changes in the first step, whole. The rest of the mesh follows, what
   * is new before what goes: an address that moves is always somebody's, never open to be passed through.
   */
  *commitSteps(difference: StateDifference): Generator<undefined, void> {
    const isOfThisNode = ({ before, after }: Change<Workload>): boolean =>
      before?.node === this.node || after?.node === this.node;
    this.#commitOwnNode(difference, difference.workloads.filter(isOfThisNode));
    yield;
    const others = difference.workloads.filter((change) => !isOfThisNode(change));
    yield* eachOf(others.filter(stays), this.#commitWorkload.bind(this));
    yield* eachOf(difference.services.filter(stays), this.#commitService.bind(this));
    yield* eachOf(others.filter(goes), this.#commitWorkload.bind(this));
    yield* eachOf(difference.services.filter(goes), this.#commitService.bind(this));
    this.#state = difference.next;
  }

  #commitOwnNode(difference: StateDifference, workloads: readonly Change<Workload>[]): void {
    this.#settings = difference.next.settings;
    if (difference.settingsChanged) this.#touched.add(keys.settings);
    this.#commitPolicies(difference.policies);
    for (const change of workloads) this.#commitWorkload(change);
    this.#localPods = difference.next.localPods;
    for (const change of difference.localPods) this.#touchPod(change.key);
  }

  setEnrolled(uid: string, enrolled: boolean): Invalidation {
    if (this.#enrolled.has(uid) !== enrolled) {
      if (enrolled) this.#enrolled.add(uid);
      else this.#enrolled.delete(uid);
      this.#touchPod(uid);
    }
    return this.finishChange();
  }

  /** Whether the control plane has said all of these, and goes on doing so. */
  settle(names: readonly DemandedName[], settled: boolean): Invalidation {
    const changed = names.filter((name) => this.#settled.has(name) !== settled);
    for (const name of changed) {
      if (settled) this.#settled.add(name);
      else this.#settled.delete(name);
    }
    return this.touchNames(changed);
  }

  touchNames(names: readonly DemandedName[]): Invalidation {
    for (const name of names) {
      const key = keyOf(name);
      if (key !== null) this.#touched.add(key);
    }
    return this.finishChange();
  }

  /** For what is no part of the state. */
  touch(key: string): Invalidation {
    this.#touched.add(key);
    return this.finishChange();
  }

  setControl(control: Relay | null): Invalidation {
    if (!isDeepStrictEqual(this.#control, control)) this.#touched.add(keys.control);
    this.#control = control;
    return this.finishChange();
  }

  /** @param addresses canonical texts; null: nothing is known of the name any more */
  setResolved(hostname: string, addresses: readonly string[] | null): Invalidation {
    if (addresses === null) this.#resolved.delete(hostname);
    else this.#resolved.set(hostname, addresses);
    return this.touch(keys.name(hostname));
  }

  resolved(hostname: string): readonly string[] | null {
    return this.#resolved.get(hostname) ?? null;
  }

  /** Some workload has the DNS name; without one, some workload has any. */
  hasName(hostname?: string): boolean {
    return hostname === undefined ? this.#names.size > 0 : this.#names.has(hostname);
  }

  control(): Relay | null {
    return this.#control;
  }

  settings(): MeshSettings {
    return this.#settings;
  }

  localPod(uid: string): LocalPod | null {
    return this.#localPods.get(uid) ?? null;
  }

  isEnrolled(uid: string): boolean {
    return this.#enrolled.has(uid);
  }

  workload(uid: string): Workload | null {
    return this.#workloads.get(uid) ?? null;
  }

  service(key: string): Service | null {
    return this.#services.get(key) ?? null;
  }

  waypointOf(serviceKey: string): WaypointReference | null {
    return this.service(serviceKey)?.waypoint ?? null;
  }

  endpoints(serviceKey: string): readonly Workload[] {
    return this.#endpoints.of(serviceKey);
  }

  ownerOf(address: IpAddress, namespace: string): AddressOwner | null {
    return this.#addresses.ownerOf(address, namespace);
  }

  workloadsAt(address: IpAddress): readonly Workload[] {
    return this.#addresses.workloadsAt(address);
  }

  isSettled(address: IpAddress): boolean {
    if (!this.onDemand || this.#settled.has(address.text)) return true;
    // No service hides a pod, so it does not matter from where it is seen.
    const owner = this.ownerOf(address, '')?.workload ?? null;
    return owner !== null && owner.node === this.node && owner.podUid !== null;
  }

  isServiceSettled(key: string): boolean {
    return !this.onDemand || this.#settled.has(key);
  }

  isSettledName(name: DemandedName): boolean {
    if (isService(name)) return this.isServiceSettled(name);
    const address = parseAddress(name);
    return address === null || this.isSettled(address);
  }

  /** Something in the mesh has the name. */
  isKnown(name: DemandedName): boolean {
    if (isService(name)) return this.#services.has(name);
    const address = parseAddress(name);
    return address !== null && this.#addresses.isKnown(address);
  }

  holePrefixLength(address: IpAddress): number {
    return this.#addresses.holePrefixLength(address);
  }

  globalPolicies(): readonly CompiledPolicy[] {
    return this.#policyLists.get('') ?? [];
  }

  namespacePolicies(namespace: string): readonly CompiledPolicy[] {
    return this.#policyLists.get(namespace) ?? [];
  }

  policy(key: string): CompiledPolicy | null {
    return this.#policies.get(key) ?? null;
  }

  /** What the engine must forget of what has changed since the last call. */
  finishChange(): Invalidation {
    const touched = this.#touched;
    const claimed = this.#interest.claim(touched, this.#appeared);
    this.#touched = new Set();
    this.#appeared = [];
    if (touched.size > 0) this.#generation++;
    return { generation: this.#generation, keys: claimed, touched };
  }

  #commitWorkload({ key, before, after }: Change<Workload>): void {
    this.#touched.add(keys.workload(key));
    replaceIn(this.#workloads, key, after);
    this.#countName(after?.hostname ?? '', 1);
    this.#countName(before?.hostname ?? '', -1);
    this.#replaceAddresses(indexedAddresses(before), indexedAddresses(after), {
      set: (address) => after !== null && this.#addresses.addWorkload(address, after),
      clear: (address) => {
        this.#addresses.removeWorkload(address, key);
      },
    });
    for (const service of this.#endpoints.replace(key, before, after)) this.#touched.add(keys.service(service));
  }

  #countName(hostname: string, change: 1 | -1): void {
    if (hostname === '') return;
    const count = (this.#names.get(hostname) ?? 0) + change;
    if (count > 0) this.#names.set(hostname, count);
    else this.#names.delete(hostname);
  }

  #commitService({ key, before, after }: Change<Service>): void {
    this.#touched.add(keys.service(key));
    const isRebound = !isDeepStrictEqual(before?.waypoint ?? null, after?.waypoint ?? null);
    if (isRebound) this.#touched.add(keys.waypointOf(key));
    replaceIn(this.#services, key, after);
    this.#replaceAddresses(parsedAddresses(before?.vips ?? []), parsedAddresses(after?.vips ?? []), {
      set: (address) => after !== null && this.#addresses.addService(address, key, after),
      clear: (address) => {
        this.#addresses.removeService(address, key);
      },
    });
  }

  /** `set` says whether nobody had the address before. */
  #replaceAddresses(
    before: readonly IpAddress[],
    after: readonly IpAddress[],
    index: { readonly set: (address: IpAddress) => boolean; readonly clear: (address: IpAddress) => void },
  ): void {
    const kept = new Set(after.map((address) => address.text));
    for (const address of before) {
      this.#touched.add(keys.address(address));
      if (!kept.has(address.text)) index.clear(address);
    }
    for (const address of after) {
      this.#touched.add(keys.address(address));
      if (index.set(address)) this.#appeared.push(address);
    }
  }

  #commitPolicies(changes: readonly Change<Policy>[]): void {
    const lists = new Set<string>();
    for (const { key, before, after } of changes) {
      this.#touched.add(keys.policy(key));
      for (const policy of [before, after]) {
        if (policy?.scope === 'global') lists.add('');
        if (policy?.scope === 'namespace') lists.add(policy.namespace);
      }
      if (after === null) this.#policies.delete(key);
      else this.#policies.set(key, compilePolicy(after));
    }
    if (lists.size > 0) this.#rebuildPolicyLists(lists);
  }

  #rebuildPolicyLists(lists: ReadonlySet<string>): void {
    const rebuilt = new Map<string, CompiledPolicy[]>([...lists].map((name) => [name, []]));
    for (const compiled of this.#policies.values()) {
      const list = listOf(compiled.policy);
      if (list !== null) rebuilt.get(list)?.push(compiled);
    }
    for (const [name, list] of rebuilt) {
      this.#touched.add(keys.namespacePolicies(name));
      if (list.length === 0) this.#policyLists.delete(name);
      else this.#policyLists.set(name, list.sort(byKey));
    }
  }

  /** Whether a pod may be joined without a wire shows in the endpoint sets of whatever names it. */
  #touchPod(uid: string): void {
    this.#touched.add(keys.pod(uid));
  }
}

function* eachOf<T>(changes: readonly T[], commit: (change: T) => void): Generator<undefined, void> {
  for (const change of changes) {
    commit(change);
    yield;
  }
}

function stays({ after }: Change<unknown>): boolean {
  return after !== null;
}

function goes({ after }: Change<unknown>): boolean {
  return after === null;
}

function replaceIn<T>(values: Map<string, T>, key: string, value: T | null): void {
  if (value === null) values.delete(key);
  else values.set(key, value);
}

function listOf(policy: Policy): string | null {
  if (policy.scope === 'global') return '';
  return policy.scope === 'namespace' ? policy.namespace : null;
}

/** One order on every node, so that the same policy is named by all of them. */
function byKey(left: CompiledPolicy, right: CompiledPolicy): number {
  return left.key < right.key ? -1 : 1;
}
