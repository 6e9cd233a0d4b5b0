import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { Condition, Locality, MeshSettings } from '../model/workload.ts';
import type { Labels } from './selectors.ts';
import type { Waypoint } from './waypoints/waypoint.ts';

/** Looking something up; whoever computes collections is told of it. */
export interface Lookup<Value> {
  get(key: string): Value | undefined;
}

/** What every derivation may look at. */
export interface Context {
  readonly settings: MeshSettings;
  readonly namespaceLabels: Lookup<Labels>;
  readonly localities: Lookup<Locality>;
  readonly captured: Captured;
  /** By `namespace/name` of their Gateways. */
  readonly waypoints: Lookup<Waypoint>;
  /** Gateways that have a pod which is ready, likewise. */
  readonly readyWaypoints: Lookup<true>;
  /** Gateways that are doors of the mesh, likewise. */
  readonly gateways: Lookup<true>;
}

/**
 * By what a pod counts as captured: `wanted`, by what its labels ask for, where agents read the same manifests; `annotated`, by what
 * its agent has written on it, where it may ask for it long before or after.
 */
export type Captured = 'wanted' | 'annotated';

export const unknownLocality: Locality = { region: '', zone: '', subzone: '' };

/** A pod takes part once it has an address and until its last container has ended. */
export function isRunning(pod: PodDocument): boolean {
  const { phase, addresses } = pod.status;
  return phase !== 'Succeeded' && phase !== 'Failed' && addresses.length > 0;
}

/** A manifest without conditions was written by hand: nobody has said that the pod is not ready. */
export function isReady(pod: PodDocument): boolean {
  const ready = pod.status.conditions.find(({ type }) => type === 'Ready');
  return pod.metadata.deletionTimestamp === null && (ready === undefined || ready.status === 'True');
}

export function workloadUid(settings: MeshSettings, pod: PodDocument): string {
  // A template would leave the pieces in memory beside the text.
  return [settings.clusterId, '', 'Pod', pod.metadata.namespace, pod.metadata.name].join('/');
}

export function namespaceOf({ metadata }: { readonly metadata: { readonly namespace: string } }): readonly string[] {
  return [metadata.namespace];
}

/** Map.groupBy came with Node 21. */
export function groupByNamespace<Item extends { readonly metadata: { readonly namespace: string } }>(
  items: readonly Item[],
): ReadonlyMap<string, readonly Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const group = groups.get(item.metadata.namespace);
    if (group === undefined) groups.set(item.metadata.namespace, [item]);
    else group.push(item);
  }
  return groups;
}

export function resourceText(
  kind: string,
  { metadata }: { readonly metadata: { readonly namespace: string; readonly name: string } },
): string {
  return `${kind} ${metadata.namespace}/${metadata.name}`;
}

export function condition(resource: string, type: string, reason: string, message: string): Condition {
  return { resource, type, reason, message };
}

export function localityOf(labels: Labels): Locality {
  return {
    region: labels['topology.kubernetes.io/region'] ?? '',
    zone: labels['topology.kubernetes.io/zone'] ?? '',
    subzone: labels['topology.istio.io/subzone'] ?? '',
  };
}
