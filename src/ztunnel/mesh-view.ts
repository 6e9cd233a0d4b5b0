import type { IpAddress } from '../model/address.ts';
import type { CompiledPolicy } from '../model/authorization.ts';
import type { Relay } from '../native/binding.ts';
import type { LocalPod, MeshSettings, Service, WaypointReference, Workload } from '../model/workload.ts';

/** What lives at an address. */
export interface AddressOwner {
  readonly workload: Workload | null;
  readonly service: Service | null;
}

/**
 * The mesh as one decision sees it. Each method is one thing that may change the decision, so that a recorder in front of
 * it (`RecordingView`) knows everything that the decision stands on.
 */
export interface MeshView {
  /** Name of the node that decides; never changes. */
  readonly node: string;
  /** Only the addresses that were asked for are known, not the whole mesh; never changes. */
  readonly onDemand: boolean;
  settings(): MeshSettings;
  localPod(uid: string): LocalPod | null;
  /** The engine has confirmed that it serves the pod. */
  isEnrolled(uid: string): boolean;
  workload(uid: string): Workload | null;
  service(key: string): Service | null;
  /** What a service has of its own, without its endpoints: those of a service change more often than its waypoint. */
  waypointOf(serviceKey: string): WaypointReference | null;
  /** Workloads that name the service, in the order of their uids. */
  endpoints(serviceKey: string): readonly Workload[];
  /**
   * Null where nobody in the mesh answers to the address, as seen from a namespace: a service that only its own namespace
   * sees is nobody elsewhere, and of several services that of the namespace comes first.
   */
  ownerOf(address: IpAddress, namespace: string): AddressOwner | null;
  /** Everything that says it has the address, whoever is reached there. */
  workloadsAt(address: IpAddress): readonly Workload[];
  /**
   * All that there is to know of the address is known. Always, unless `onDemand`: then once the control plane has said who
   * has it, or that nobody does; and for the pods of this node, which it tells unasked.
   */
  isSettled(address: IpAddress): boolean;
  /** The same of a service by its key, and of its endpoints. */
  isServiceSettled(key: string): boolean;
  /** Length of the widest block around the address in which no address is known; the full length for a known one. */
  holePrefixLength(address: IpAddress): number;
  globalPolicies(): readonly CompiledPolicy[];
  namespacePolicies(namespace: string): readonly CompiledPolicy[];
  policy(key: string): CompiledPolicy | null;
  /** Addresses that a DNS name leads to, canonical texts; null where nobody has looked it up, or it could not be. */
  resolved(hostname: string): readonly string[] | null;
  /** Where waypoints of this node find their control plane; null where nobody serves it. */
  control(): Relay | null;
}
