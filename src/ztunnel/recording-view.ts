import type { IpAddress } from '../model/address.ts';
import type { CompiledPolicy } from '../model/authorization.ts';
import type { LocalPod, MeshSettings, Service, WaypointReference, Workload } from '../model/workload.ts';
import type { Relay } from '../native/binding.ts';
import type { DemandedName } from './demanded-name.ts';
import { keys } from './keys.ts';
import type { AddressOwner, MeshView } from './mesh-view.ts';

/** Writes down the key of everything that is read through it, also of what is not there. One per decision. */
export class RecordingView implements MeshView {
  readonly #view: MeshView;
  readonly #read = new Set<string>();
  readonly #demands = new Set<string>();
  readonly #unresolved = new Set<string>();

  constructor(view: MeshView) {
    this.#view = view;
  }

  get node(): string {
    return this.#view.node;
  }

  get onDemand(): boolean {
    return this.#view.onDemand;
  }

  readKeys(): readonly string[] {
    return [...this.#read];
  }

  /** What would have to be asked for where the mesh is not known as a whole: see `DemandedName`. */
  demands(): readonly DemandedName[] {
    return [...this.#demands];
  }

  /** DNS names whose addresses were asked for and are not known. */
  unresolvedNames(): readonly string[] {
    return [...this.#unresolved];
  }

  settings(): MeshSettings {
    this.#read.add(keys.settings);
    return this.#view.settings();
  }

  localPod(uid: string): LocalPod | null {
    this.#read.add(keys.pod(uid));
    return this.#view.localPod(uid);
  }

  isEnrolled(uid: string): boolean {
    this.#read.add(keys.pod(uid));
    return this.#view.isEnrolled(uid);
  }

  workload(uid: string): Workload | null {
    this.#read.add(keys.workload(uid));
    return this.#view.workload(uid);
  }

  service(key: string): Service | null {
    this.#read.add(keys.service(key));
    return this.#view.service(key);
  }

  waypointOf(serviceKey: string): WaypointReference | null {
    this.#read.add(keys.waypointOf(serviceKey));
    return this.#view.waypointOf(serviceKey);
  }

  endpoints(serviceKey: string): readonly Workload[] {
    this.#read.add(keys.service(serviceKey));
    return this.#view.endpoints(serviceKey);
  }

  ownerOf(address: IpAddress, namespace: string): AddressOwner | null {
    const owner = this.#view.ownerOf(address, namespace);
    this.#read.add(keys.address(address));
    if (owner === null) return null;
    if (owner.workload !== null) this.#read.add(keys.workload(owner.workload.uid));
    if (owner.service !== null) this.#read.add(keys.service(`${owner.service.namespace}/${owner.service.hostname}`));
    return owner;
  }

  workloadsAt(address: IpAddress): readonly Workload[] {
    const workloads = this.#view.workloadsAt(address);
    this.#read.add(keys.address(address));
    for (const { uid } of workloads) this.#read.add(keys.workload(uid));
    return workloads;
  }

  isSettled(address: IpAddress): boolean {
    this.#read.add(keys.address(address));
    this.#demands.add(address.text);
    return this.#view.isSettled(address);
  }

  isServiceSettled(key: string): boolean {
    // Else nothing can change it.
    if (this.onDemand) {
      this.#read.add(keys.told(key));
      this.#demands.add(key);
    }
    return this.#view.isServiceSettled(key);
  }

  holePrefixLength(address: IpAddress): number {
    const length = this.#view.holePrefixLength(address);
    this.#read.add(keys.block(address, length));
    return length;
  }

  resolved(hostname: string): readonly string[] | null {
    this.#read.add(keys.name(hostname));
    const addresses = this.#view.resolved(hostname);
    if (addresses === null) this.#unresolved.add(hostname);
    return addresses;
  }

  globalPolicies(): readonly CompiledPolicy[] {
    this.#read.add(keys.globalPolicies);
    return this.#view.globalPolicies();
  }

  namespacePolicies(namespace: string): readonly CompiledPolicy[] {
    this.#read.add(keys.namespacePolicies(namespace));
    return this.#view.namespacePolicies(namespace);
  }

  control(): Relay | null {
    this.#read.add(keys.control);
    return this.#view.control();
  }

  policy(key: string): CompiledPolicy | null {
    this.#read.add(keys.policy(key));
    return this.#view.policy(key);
  }
}
