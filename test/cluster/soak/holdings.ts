import { parseMetrics, sum } from '../../support/metrics.ts';
import type { Cluster } from '../harness/cluster.ts';
import type { InstalledMesh } from '../harness/mesh.ts';

/** What a part of the mesh holds at a moment. */
export interface Holdings {
  readonly memoryMiB: number;
  readonly descriptors: number;
  /** Entries of the maps that an agent pins; the control plane has none. */
  readonly mapEntries: number;
}

/** By the part's name: `control`, `agent 1` … */
export type Sample = ReadonlyMap<string, Holdings>;

export const nodes: readonly number[] = [1, 2];

export async function takeSample(cluster: Cluster, mesh: InstalledMesh): Promise<Sample> {
  const agents = await Promise.all(
    nodes.map(async (node): Promise<[string, Holdings]> => {
      const [text, mapEntries] = await Promise.all([mesh.metrics(node), countEntries(cluster, node)]);
      return [`agent ${node}`, { ...processHoldings(text), mapEntries }];
    }),
  );
  return new Map([...agents, ['control', { ...processHoldings(await mesh.controlMetrics()), mapEntries: 0 }]]);
}

function processHoldings(text: string): Omit<Holdings, 'mapEntries'> {
  const samples = parseMetrics(text);
  return {
    memoryMiB: sum(samples, 'process_resident_memory_bytes') / 2 ** 20,
    descriptors: sum(samples, 'process_open_fds'),
  };
}

/** Of hash maps alone: arrays are always full. */
const countScript = `
for map in $(find /sys/fs/bpf/ambit -name 'amb_*'); do
  bpftool map show pinned "$map" 2>/dev/null | grep -q ' hash ' || continue
  bpftool --json map dump pinned "$map"
done | grep --only-matching '"key"' | wc -l`;

async function countEntries(cluster: Cluster, node: number): Promise<number> {
  return Number((await cluster.node(node, ['bash', '-c', countScript])).stdout);
}
