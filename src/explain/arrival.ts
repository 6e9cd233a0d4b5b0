import { outranks } from '../model/address-precedence.ts';
import type { MeshState, Workload } from '../model/workload.ts';
import { nameOf } from './node-facts.ts';
import type { PathEndpoint } from './shape.ts';

/** The pod that may have a say about a connection, and the node whose agent knows. */
export interface Arrival {
  readonly podUid: string;
  readonly node: string;
}

/**
 * Where a connection to an endpoint arrives; null where nobody of the mesh may have a say. Packets follow the address: an
 * endpoint that was written down without a pod, such as a ServiceEntry's, may have that of a pod, which then decides.
 */
export function arrivalAt(state: MeshState, endpoint: PathEndpoint): Arrival | null {
  const { podUid, node, transport, address } = endpoint;
  const named = podUid === null ? null : { podUid, node };
  // Whoever sends a tunnel expects its end to be in the mesh; a pod that the labels leave out has no one to ask.
  const mayDecide = (arrival: Arrival): boolean => transport !== 'plaintext' || isMember(state, arrival);
  if (named !== null && mayDecide(named)) return named;
  return bestOf(podsAt(state, address).filter(mayDecide));
}

/** The pod that has an address, as the end of a plain connection; null where none has it. */
export function plainEndpointAt(state: MeshState, address: string, port: number): PathEndpoint | null {
  const best = bestOf(podsAt(state, address));
  return best === null ? null : plainEndpoint(best, address, port);
}

export function plainEndpoint(workload: Workload, address: string, port: number): PathEndpoint {
  const { uid, podUid, node } = workload;
  const name = nameOf(workload);
  return {
    name,
    workload: uid,
    podUid,
    node,
    address,
    port,
    transport: 'plaintext',
    wire: null,
    identities: [],
    authority: null,
  };
}

type PodWorkload = Workload & Arrival;

/** Pods with an address of their own. */
function podsAt({ workloads }: MeshState, address: string): PodWorkload[] {
  const isThere = (workload: Workload): workload is PodWorkload =>
    workload.podUid !== null && !workload.hostNetwork && workload.addresses.includes(address);
  return [...workloads.values()].filter(isThere);
}

function bestOf(pods: readonly PodWorkload[]): PodWorkload | null {
  return pods.reduce<PodWorkload | null>((best, pod) => (best !== null && !outranks(pod, best, '') ? best : pod), null);
}

function isMember({ workloads, localPods }: MeshState, { podUid }: Arrival): boolean {
  if (localPods.get(podUid)?.wanted === true) return true;
  return [...workloads.values()].some((workload) => workload.podUid === podUid && workload.protocol === 'hbone');
}
