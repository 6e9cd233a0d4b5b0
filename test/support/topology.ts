/** The plan of a rig: names, addresses and the commands that build it. Pure. */

export interface PodPlan {
  readonly name: string;
  /** Node it runs on, by its place: 0 or 1. */
  readonly node: number;
  /** Name under /run/netns. */
  readonly netns: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface NodePlan {
  /** Name for `--node` and `spec.nodeName`. */
  readonly name: string;
  readonly netns: string;
  /** On the bridge: the pods' gateway. */
  readonly ipv4: string;
  readonly ipv6: string;
  /** On the link between the nodes. */
  readonly linkIpv4: string;
  readonly linkIpv6: string;
  /** On the way to the control plane. */
  readonly managementIpv4: string;
}

/** Where a control plane runs: reached by every node, and by nothing else. */
export interface ControlPlan {
  readonly netns: string;
  readonly ipv4: string;
}

export interface TopologyOptions {
  /** 1 or 2. */
  readonly nodes: number;
  /** Pods by name; the value is the node's place. */
  readonly pods: Readonly<Record<string, number>>;
  /** First two octets of the pods' addresses. */
  readonly prefix: string;
  readonly congestionControl: string;
}

export interface Topology {
  readonly run: string;
  readonly control: ControlPlan;
  readonly nodes: readonly NodePlan[];
  readonly pods: readonly PodPlan[];
  readonly options: TopologyOptions;
}

/** The interface of a node that leads to the other node; what crosses nodes can be heard there. */
export const linkInterface = 'link0';
export const bridgeInterface = 'pods0';
/** The interface of a node that leads to the control plane, and the bridge at its other end. */
export const managementInterface = 'mgmt0';
/** Inside every pod. */
export const podInterface = 'eth0';

const namePrefix = 'ambit-r';
const firstHost = 10;
const podsPerNode = 240;

/** Names of a run begin with this and carry the process that owns them, so that a later run can tell who is gone. */
export function runId(pid: number, serial: number): string {
  return `r${pid}-${serial}`;
}

/** The owner of a network namespace that some rig made; null for everything else. */
export function ownerOf(netns: string): number | null {
  const match = /^ambit-r(\d+)-\d+-/.exec(netns);
  return match?.[1] === undefined ? null : Number(match[1]);
}

/** @throws RangeError when the rig is larger than its address plan. */
export function planTopology(run: string, options: TopologyOptions): Topology {
  const nodes = Array.from({ length: options.nodes }, (_, place) => planNode(run, place, options.prefix));
  const used = nodes.map(() => 0);
  const control = { netns: netnsOf(run, 'control-plane'), ipv4: `${options.prefix}.254.1` };
  const taken = [...nodes, control].map(({ netns }) => netns);
  const pods = Object.entries(options.pods).map(([name, node]) => {
    const before = used[node];
    if (before === undefined) throw new RangeError(`pod ${name}: there is no node ${node}`);
    if (taken.includes(netnsOf(run, name))) {
      throw new RangeError(`a pod cannot be named ${name}: its namespace would be that of a node or the control plane`);
    }
    if (before >= podsPerNode) throw new RangeError(`a node of the rig holds at most ${podsPerNode} pods`);
    used[node] = before + 1;
    return planPod(run, name, node, firstHost + before, options.prefix);
  });
  return { run, control, nodes, pods, options };
}

function planNode(run: string, place: number, prefix: string): NodePlan {
  const name = `${run}-${place === 0 ? 'one' : 'two'}`;
  return {
    name,
    netns: `${namePrefix.slice(0, -1)}${name}`,
    ipv4: `${prefix}.${place + 1}.1`,
    ipv6: `fd77:0:0:${place + 1}::1`,
    linkIpv4: `${prefix}.0.${place + 1}`,
    linkIpv6: `fd77::${place + 1}`,
    managementIpv4: `${prefix}.254.${place + 2}`,
  };
}

function netnsOf(run: string, name: string): string {
  return `${namePrefix.slice(0, -1)}${run}-${name}`;
}

function planPod(run: string, name: string, node: number, host: number, prefix: string): PodPlan {
  return {
    name,
    node,
    netns: netnsOf(run, name),
    ipv4: `${prefix}.${node + 1}.${host}`,
    ipv6: `fd77:0:0:${node + 1}::${host.toString(16)}`,
  };
}

/** Lines for `ip -batch`, in the machine's own namespace: every namespace and every wire. */
export function wiringBatch({ nodes, pods }: Topology): string[] {
  const namespaces = [...nodes, ...pods].map(({ netns }) => `netns add ${netns}`);
  const wires = pods.map((pod) => podWire(pod, nodes));
  const [one, two] = nodes;
  const link =
    one === undefined || two === undefined
      ? []
      : [`link add ${linkInterface} netns ${one.netns} type veth peer name ${linkInterface} netns ${two.netns}`];
  return [...namespaces, ...wires, ...link];
}

/** One pod that is added later. */
export function podWire(pod: PodPlan, nodes: readonly NodePlan[]): string {
  const node = nodes[pod.node];
  if (node === undefined) throw new RangeError(`pod ${pod.name}: there is no node ${pod.node}`);
  return `link add ${podInterface} netns ${pod.netns} type veth peer name ${nodePort(pod)} netns ${node.netns}`;
}

/** The pod's end in its node: named by its host number, since a name of an interface has 15 characters. */
export function nodePort(pod: PodPlan): string {
  return `pod${pod.ipv4.split('.')[3] ?? ''}`;
}

/** Lines for `ip -batch` inside a node. `nodad`: an address that is still being probed cannot be used. */
export function nodeBatch(node: NodePlan, topology: Topology): string[] {
  const ports = topology.pods.filter((pod) => topology.nodes[pod.node] === node);
  return [
    'link set lo up',
    `link add ${bridgeInterface} type bridge`,
    `link set ${bridgeInterface} up`,
    `addr add ${node.ipv4}/24 dev ${bridgeInterface}`,
    `addr add ${node.ipv6}/64 dev ${bridgeInterface} nodad`,
    ...ports.flatMap((pod) => portBatch(pod)),
    ...linkBatch(node, topology),
  ];
}

export function portBatch(pod: PodPlan): string[] {
  return [`link set ${nodePort(pod)} master ${bridgeInterface} up`];
}

function linkBatch(node: NodePlan, topology: Topology): string[] {
  const other = topology.nodes.find((candidate) => candidate !== node);
  if (other === undefined) return [];
  const pods4 = other.ipv4.replace(/\.1$/, '.0/24');
  const pods6 = other.ipv6.replace(/::1$/, '::/64');
  return [
    `addr add ${node.linkIpv4}/24 dev ${linkInterface}`,
    `addr add ${node.linkIpv6}/64 dev ${linkInterface} nodad`,
    `link set ${linkInterface} up`,
    `route add ${pods4} via ${other.linkIpv4}`,
    `route add ${pods6} via ${other.linkIpv6}`,
  ];
}

/** Lines for `ip -batch`, in the machine's own namespace: the control plane's namespace, and a wire to each node. */
export function controlWiringBatch({ control, nodes }: Topology): string[] {
  const wires = nodes.map(
    ({ netns }, place) =>
      `link add ${managementInterface} netns ${netns} type veth peer name ${controlPort(place)} netns ${control.netns}`,
  );
  return [`netns add ${control.netns}`, ...wires];
}

/** The control plane's end of the wire to a node. */
export function controlPort(place: number): string {
  return `node${place}`;
}

export function controlBatch({ control, nodes }: Topology): string[] {
  return [
    'link set lo up',
    `link add ${managementInterface} type bridge`,
    `addr add ${control.ipv4}/24 dev ${managementInterface}`,
    `link set ${managementInterface} up`,
    ...nodes.map((_, place) => `link set ${controlPort(place)} master ${managementInterface} up`),
  ];
}

export function managementBatch({ managementIpv4 }: NodePlan): string[] {
  return [`addr add ${managementIpv4}/24 dev ${managementInterface}`, `link set ${managementInterface} up`];
}

export function podBatch(pod: PodPlan, node: NodePlan): string[] {
  return [
    'link set lo up',
    `addr add ${pod.ipv4}/24 dev ${podInterface}`,
    `addr add ${pod.ipv6}/64 dev ${podInterface} nodad`,
    `link set ${podInterface} up`,
    `route add default via ${node.ipv4}`,
    `route add default via ${node.ipv6}`,
  ];
}

/** `path value` lines under /proc/sys, before any address is given. */
export function settings(kind: 'node' | 'pod', congestionControl: string): string[] {
  const common = [
    'net/ipv4/conf/all/rp_filter 1',
    'net/ipv4/conf/default/rp_filter 1',
    'net/ipv6/conf/default/accept_dad 0',
    'net/ipv6/conf/default/accept_ra 0',
    `net/ipv4/tcp_congestion_control ${congestionControl}`,
  ];
  const forwarding = ['net/ipv4/ip_forward 1', 'net/ipv6/conf/all/forwarding 1'];
  return kind === 'node' ? [...common, ...forwarding] : common;
}
