import type { IpAddress } from '../model/address.ts';
import { compilePolicy } from '../model/authorization.ts';
import type { CompiledPolicy } from '../model/authorization.ts';
import type { Policy } from '../model/policy.ts';
import type { LocalPod, MeshSettings, MeshState, Service, Workload } from '../model/workload.ts';
import { AddressIndex, indexedAddresses, parsedAddresses } from './address-index.ts';
import { EndpointIndex } from './endpoint-index.ts';
import { KeyInterest } from './key-interest.ts';
import { keys } from './keys.ts';
import type { AddressOwner, MeshView } from './mesh-view.ts';
import type { Change, StateDifference } from './state-difference.ts';

/** What a change touched, and what of it the engine must forget. */
export interface Invalidation {
  readonly generation: number;
  /** Those of `touched` that answers have named. */
  readonly keys: readonly string[];
  readonly touched: ReadonlySet<string>;
}

/**
 * The mesh in memory, indexed for decisions. Changes come whole: between two questions there is either the state before or
 * the state after, and the generation says which.
 */
export class WorkloadStore implements MeshView {
  readonly node: string;
  readonly #addresses = new AddressIndex();
  readonly #endpoints = new EndpointIndex();
  readonly #policies = new Map<string, CompiledPolicy>();
  /** By namespace; those of the whole mesh under the empty name. */
  readonly #policyLists = new Map<string, readonly CompiledPolicy[]>();
  readonly #enrolled = new Set<string>();
  readonly #interest = new KeyInterest();
  #touched = new Set<string>();
  #appeared: IpAddress[] = [];
  #state: MeshState;
  #generation = 1;

  /** @param initial a state without workloads, services, policies and pods */
  constructor(node: string, initial: MeshState) {
    this.node = node;
    this.#state = initial;
  }

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

  commit(difference: StateDifference): Invalidation {
    this.#state = difference.next;
    if (difference.settingsChanged) this.#touched.add(keys.settings);
    for (const change of difference.workloads) this.#commitWorkload(change);
    for (const change of difference.services) this.#commitService(change);
    this.#commitPolicies(difference.policies);
    for (const change of difference.localPods) this.#touchPod(change.key);
    return this.#finishChange();
  }

  setEnrolled(uid: string, enrolled: boolean): Invalidation {
    if (this.#enrolled.has(uid) !== enrolled) {
      if (enrolled) this.#enrolled.add(uid);
      else this.#enrolled.delete(uid);
      this.#touchPod(uid);
    }
    return this.#finishChange();
  }

  /** For what is no part of the state. */
  touch(key: string): Invalidation {
    this.#touched.add(key);
    return this.#finishChange();
  }

  settings(): MeshSettings {
    return this.#state.settings;
  }

  localPod(uid: string): LocalPod | null {
    return this.#state.localPods.get(uid) ?? null;
  }

  isEnrolled(uid: string): boolean {
    return this.#enrolled.has(uid);
  }

  workload(uid: string): Workload | null {
    return this.#state.workloads.get(uid) ?? null;
  }

  service(key: string): Service | null {
    return this.#state.services.get(key) ?? null;
  }

  endpoints(serviceKey: string): readonly Workload[] {
    return this.#endpoints.of(serviceKey);
  }

  ownerOf(address: IpAddress): AddressOwner | null {
    return this.#addresses.ownerOf(address);
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

  #finishChange(): Invalidation {
    const touched = this.#touched;
    const claimed = this.#interest.claim(touched, this.#appeared);
    this.#touched = new Set();
    this.#appeared = [];
    if (touched.size > 0) this.#generation++;
    return { generation: this.#generation, keys: claimed, touched };
  }

  #commitWorkload({ key, before, after }: Change<Workload>): void {
    this.#touched.add(keys.workload(key));
    this.#replaceAddresses(indexedAddresses(before), indexedAddresses(after), {
      set: (address) => after !== null && this.#addresses.addWorkload(address, after),
      clear: (address) => {
        this.#addresses.removeWorkload(address, key);
      },
    });
    for (const service of this.#endpoints.replace(key, before, after)) this.#touched.add(keys.service(service));
  }

  #commitService({ key, before, after }: Change<Service>): void {
    this.#touched.add(keys.service(key));
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

function listOf(policy: Policy): string | null {
  if (policy.scope === 'global') return '';
  return policy.scope === 'namespace' ? policy.namespace : null;
}

/** One order on every node, so that the same policy is named by all of them. */
function byKey(left: CompiledPolicy, right: CompiledPolicy): number {
  return left.key < right.key ? -1 : 1;
}
