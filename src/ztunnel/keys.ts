import { addressLength, cidrOf } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';

/**
 * Names of what a decision may read, also of what it looked for and did not find. The engine knows them as opaque text: an
 * invalidation names keys, and every answer that read one of them is dropped.
 */
export const keys = {
  settings: 'settings',
  /** Where the control plane of waypoints is. */
  control: 'control',
  /** The list of mesh-wide policies, and each of them. */
  globalPolicies: 'policies/',
  pod: (uid: string): string => `pod/${uid}`,
  workload: (uid: string): string => `workload/${uid}`,
  /** A service with all of its endpoints. */
  service: (key: string): string => `service/${key}`,
  /** The waypoint of a service, and nothing else of it. */
  waypointOf: (serviceKey: string): string => `waypoint-of/${serviceKey}`,
  /** Whether all of a service is told. */
  told: (serviceKey: string): string => `told/${serviceKey}`,
  /** The list of a namespace's own policies, and each of them. */
  namespacePolicies: (namespace: string): string => `policies/${namespace}`,
  /** What a DNS name leads to. */
  name: (hostname: string): string => `name/${hostname}`,
  /** One policy that a workload names. */
  policy: (key: string): string => `policy/${key}`,
  /** Who answers to the addresses of a block, the full length standing for one address. */
  block: (address: IpAddress, prefixLength: number): string => `block/${cidrOf(address, prefixLength).text}`,
  /** The same text as the block of full length, without working out the block. */
  address: (address: IpAddress): string => `block/${address.text}/${addressLength(address.family)}`,
} as const;
