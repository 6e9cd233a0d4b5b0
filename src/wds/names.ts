import type { Service, Workload } from '../model/workload.ts';
import type { Policy } from '../model/policy.ts';

const prefix = 'type.googleapis.com/';

/** The resource types, as xDS names them. The last two are ours: a stock peer neither asks for them nor sends them. */
export const typeUrls = {
  address: `${prefix}istio.workload.Address`,
  /** For old clients: workloads only. */
  workload: `${prefix}istio.workload.Workload`,
  authorization: `${prefix}istio.security.Authorization`,
  meshSettings: `${prefix}ambit.mesh.v1.MeshSettings`,
  localPod: `${prefix}ambit.mesh.v1.LocalPod`,
} as const;

export type TypeUrl = (typeof typeUrls)[keyof typeof typeUrls];

/** Name of the one resource of type `meshSettings`. */
export const meshSettingsName = 'mesh';

/** The name that subscribes to all resources of a type. */
export const wildcard = '*';

/** Where a control plane that is ours begins the text of `control_plane.identifier`; a stock istiod writes JSON. */
export const controlPlaneIdentifier = 'ambit-control';

/**
 * Clients of ours say in their node's metadata that they take what they asked for in parts. `system_version_info` then tells that
 * more of it follows. To others we send everything in one response, however long: a ztunnel is ready after the first.
 */
export const partialResponses = 'AMBIT_PARTIAL_RESPONSES';
export const partialResponse = 'partial';

export function workloadName({ uid }: Pick<Workload, 'uid'>): string {
  return uid;
}

export function serviceName({ namespace, hostname }: Pick<Service, 'namespace' | 'hostname'>): string {
  return `${namespace}/${hostname}`;
}

export function policyName({ namespace, name }: Pick<Policy, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}

/** The name under which whoever has an address is asked for: `network/address`, the address in canonical text. */
export function addressName(network: string, address: string): string {
  // There is one for each address of the mesh, and a template would leave its pieces in memory beside it.
  return [network, address].join('/');
}
