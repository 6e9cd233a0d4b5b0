import type { Resources } from '../config/manifests/resources.ts';
import { defaultMeshSettings } from '../config/manifests/schemas/mesh-settings.ts';
import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { Condition, Locality, MeshSettings } from '../model/workload.ts';
import type { Labels } from './selectors.ts';

/** What every derivation may look at. */
export interface Context {
  readonly settings: MeshSettings;
  readonly namespaceLabels: ReadonlyMap<string, Labels>;
  readonly localities: ReadonlyMap<string, Locality>;
}

export const unknownLocality: Locality = { region: '', zone: '', subzone: '' };

export function makeContext(resources: Resources): Context {
  return {
    settings: resources.meshSettings?.spec ?? defaultMeshSettings,
    namespaceLabels: new Map(resources.namespaces.map(({ metadata }) => [metadata.name, metadata.labels])),
    localities: new Map(resources.nodes.map(({ metadata }) => [metadata.name, localityOf(metadata.labels)])),
  };
}

/** A pod takes part once it has an address and until its last container has ended. */
export function isRunning(pod: PodDocument): boolean {
  const { phase } = pod.status;
  return phase !== 'Succeeded' && phase !== 'Failed' && addressesOf(pod).length > 0;
}

export function addressesOf(pod: PodDocument): readonly string[] {
  const { podIP, podIPs } = pod.status;
  const all = [...podIPs.map(({ ip }) => ip), ...(podIP === null ? [] : [podIP])];
  return [...new Set(all)];
}

export function workloadUid(settings: MeshSettings, pod: PodDocument): string {
  return `${settings.clusterId}//Pod/${pod.metadata.namespace}/${pod.metadata.name}`;
}

export function groupByNamespace<Item extends { readonly metadata: { readonly namespace: string } }>(
  items: readonly Item[],
): ReadonlyMap<string, readonly Item[]> {
  return groupedBy(items, ({ metadata }) => metadata.namespace);
}

/** Map.groupBy came with Node 21. */
export function groupedBy<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
): ReadonlyMap<string, readonly Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
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

function localityOf(labels: Labels): Locality {
  return {
    region: labels['topology.kubernetes.io/region'] ?? '',
    zone: labels['topology.kubernetes.io/zone'] ?? '',
    subzone: labels['topology.istio.io/subzone'] ?? '',
  };
}
