import type { Cluster } from './cluster.ts';

/** Stands in place of a CNI that enforces NetworkPolicies: what comes to a pod over its veth is let through or not. */
export interface Enforcement {
  /** Addresses of the pod. */
  readonly pod: readonly string[];
  /** Addresses that may open connections to it. */
  readonly allowed: readonly string[];
  /** At these ports. */
  readonly ports: readonly number[];
}

export interface Seen {
  /** Packets that opened connections and were let through, by port. */
  readonly allowed: ReadonlyMap<number, number>;
  readonly dropped: number;
}

const table = 'enforced';

/**
 * Puts rules of nftables between a node's bridge and its pods. Frames from another pod of the node pass the bridge's hook `forward`,
 * those that the node routes or sends itself its hook `output`; the node itself may reach all its pods, as CNIs have it.
 */
export async function enforce(cluster: Cluster, node: number, wanted: Enforcement): Promise<void> {
  const rules = ['forward', 'output'].flatMap((hook) => [
    `chain ${hook} {`,
    `type filter hook ${hook} priority 0;`,
    ...wanted.pod.flatMap((address) => rulesFor(address, wanted, node)),
    '}',
  ]);
  const lines = [`table bridge ${table} {`, ...rules, '}'];
  await cluster.node(node, ['nft', '-f', '-'], { input: `${lines.join('\n')}\n` });
}

export async function enforceNothing(cluster: Cluster, node: number): Promise<void> {
  await cluster.node(node, ['nft', 'delete', 'table', 'bridge', table], { anyStatus: true });
}

export async function seenBy(cluster: Cluster, node: number): Promise<Seen> {
  const { stdout } = await cluster.node(node, ['nft', 'list', 'table', 'bridge', table]);
  const allowed = new Map<number, number>();
  let dropped = 0;
  for (const line of stdout.split('\n')) {
    const packets = Number(/counter packets (\d+)/.exec(line)?.[1] ?? 0);
    const port = Number(/dport (\d+)/.exec(line)?.[1] ?? 0);
    if (line.includes('drop')) dropped += packets;
    else if (port !== 0) allowed.set(port, (allowed.get(port) ?? 0) + packets);
  }
  return { allowed, dropped };
}

/** Only what opens a connection is looked at: answers and what follows belong to one that was let through. */
function rulesFor(address: string, { allowed, ports }: Enforcement, node: number): readonly string[] {
  const family = familyOf(address);
  const opening = 'tcp flags & (syn | ack) == syn';
  const nodeAddresses = [`10.244.${node}.1`, `fd00:244:0:${node}::1`].filter((own) => familyOf(own) === family);
  return [
    ...nodeAddresses.map((own) => `${family} saddr ${own} ${family} daddr ${address} ${opening} accept`),
    ...allowed
      .filter((source) => familyOf(source) === family)
      .flatMap((source) =>
        ports.map(
          (port) => `${family} saddr ${source} ${family} daddr ${address} tcp dport ${port} ${opening} counter accept`,
        ),
      ),
    `${family} daddr ${address} ${opening} counter drop`,
  ];
}

function familyOf(address: string): 'ip' | 'ip6' {
  return address.includes(':') ? 'ip6' : 'ip';
}
