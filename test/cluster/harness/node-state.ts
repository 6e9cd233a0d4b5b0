import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { exec } from '../../support/processes.ts';
import type { Cluster } from './cluster.ts';
import type { List, Metadata, Pod } from './objects.ts';

/** What a mesh could leave behind, each thing a line of text, by where it was looked for. */
export type State = Readonly<Record<string, readonly string[]>>;

export const nodes = [1, 2] as const;

/** Where a mesh has to do on a node: files with their rights and content, what is pinned, what hangs on cgroups, routing. */
const looks: Readonly<Record<string, string>> = {
  'files of the CNI': `find /etc/cni /opt/cni -type f -printf '%m %u %p\\n' -exec sha256sum {} +`,
  'folders of the CNI': `find /etc/cni /opt/cni -type d -printf '%m %p\\n'`,
  // The kubelet makes the folder of the agent, and leaves it.
  'files of the agent': `find /run/ambit /var/lib/ambit -mindepth 1 2>/dev/null || true`,
  'pinned objects of eBPF': `find /sys/fs/bpf -mindepth 1`,
  // The bridge of the CNI comes with the first pod of a node.
  'rules and routes': `for family in 4 6; do ip -$family rule; ip -$family route show table all | grep -Ev 'cni0|veth'; done`,
  // The key of TCP Fast Open is made by chance when somebody first listens.
  'settings of the network': `sysctl --all 2>/dev/null | grep -E '^net[.]ipv[46][.](conf[.](all|default|lo)[.]|tcp_|fwmark|ip_)' | grep -v fastopen_key`,
};

/** In the network namespace of a pod; its neighbours and counters are not of interest. */
const podLook = `ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all; ip -brief address; ss -Hlnt;
  sysctl --all 2>/dev/null | grep -E '^net[.]ipv[46][.](conf[.]|tcp_|fwmark|ip_)'`;

/** Kinds that installing makes; what users and the cluster itself add meanwhile belongs to other namespaces. */
const clusterKinds = [
  'customresourcedefinitions,clusterroles,clusterrolebindings,priorityclasses',
  'validatingwebhookconfigurations,mutatingwebhookconfigurations',
  'validatingadmissionpolicies,validatingadmissionpolicybindings',
].join(',');

interface Labelled {
  readonly kind: string;
  readonly metadata: Metadata & { readonly name: string };
}

/** The nodes, the cluster's own objects, and labels and annotations of what is not a test's. */
export async function stateOf(cluster: Cluster): Promise<State> {
  const state: Record<string, readonly string[]> = {};
  for (const node of nodes) {
    for (const [what, look] of Object.entries(looks)) {
      const { stdout } = await cluster.node(node, ['sh', '-c', look]);
      state[`node-${node}: ${what}`] = linesOf(stdout);
    }
    state[`node-${node}: links of eBPF`] = await linksUnder(cluster, node);
  }
  const objects = linesOf(await cluster.kubectl(['get', clusterKinds, '--output', 'name']));
  // The Gateway API's definitions are the user's to install: tests do, before or after the mesh.
  state['objects of the cluster'] = objects.filter((name) => !name.endsWith('.gateway.networking.k8s.io'));
  state['labels and annotations'] = await labelsOf(cluster);
  return state;
}

/** What a mesh could leave in the network namespace of a pod. */
export async function podStateOf(cluster: Cluster, { metadata, spec }: Pod): Promise<readonly string[]> {
  const node = Number(spec.nodeName?.replace('node-', ''));
  const find = `grep -l ${metadata.uid} /proc/[0-9]*/cgroup | head -1 | cut -d/ -f3`;
  const pid = (await cluster.node(node, ['sh', '-c', find])).stdout.trim();
  const { stdout } = await cluster.node(node, ['nsenter', `--net=/proc/${pid}/ns/net`, 'sh', '-c', podLook]);
  const inode = (await cluster.node(node, ['stat', '--dereference', '--format=%i', `/proc/${pid}/ns/net`])).stdout;
  const links = (await bpfLinks()).filter(({ netns_ino: netns }) => netns === Number(inode));
  return [...linesOf(stdout), ...links.map(({ type }) => `link of eBPF: ${type}`)];
}

/** What of the one is not in the other, both ways, as `- line` and `+ line`. */
export function differences(before: State, after: State): readonly string[] {
  return Object.keys({ ...before, ...after }).flatMap((what) => {
    const [earlier = [], later = []] = [before[what], after[what]];
    const gone = earlier.filter((line) => !later.includes(line)).map((line) => `${what}: - ${line}`);
    return [...gone, ...later.filter((line) => !earlier.includes(line)).map((line) => `${what}: + ${line}`)];
  });
}

const fileOf = async (cluster: Cluster): Promise<string> =>
  join(await cluster.stateFolder(), 'before-installation.json');

/** Kept with the cluster: the file that installs is rarely the one that uninstalls. */
export async function recordState(cluster: Cluster): Promise<void> {
  await writeFile(await fileOf(cluster), JSON.stringify(await stateOf(cluster)));
}

/** @throws Error when nothing was recorded */
export async function recordedState(cluster: Cluster): Promise<State> {
  return JSON.parse(await readFile(await fileOf(cluster), 'utf8')) as State; // what `recordState` has written
}

/** Links live in one list of the whole machine: those count that hang on a cgroup of the node. */
async function linksUnder(cluster: Cluster, node: number): Promise<readonly string[]> {
  const folders = await cluster.node(node, [
    'sh',
    '-c',
    `find "$(findmnt --noheadings --first-only --types cgroup2 --output TARGET)" -type d -printf '%i\\n'`,
  ]);
  const own = new Set(linesOf(folders.stdout).map(Number));
  return (await bpfLinks())
    .filter(({ cgroup_id: cgroup }) => cgroup !== undefined && own.has(cgroup))
    .map((link) => `${link.type} ${link.attach_type ?? ''}`)
    .sort();
}

async function bpfLinks(): Promise<readonly BpfLink[]> {
  const { stdout } = await exec(['bpftool', '--json', 'link', 'show']);
  return JSON.parse(stdout) as readonly BpfLink[]; // bpftool's own names
}

interface BpfLink {
  readonly type: string;
  readonly cgroup_id?: number;
  readonly netns_ino?: number;
  readonly attach_type?: string;
}

async function labelsOf(cluster: Cluster): Promise<readonly string[]> {
  const { items } = await cluster.get<List<Labelled>>(['namespaces,nodes']);
  const kept = items.filter(({ kind, metadata }) => kind === 'Node' || /^(kube-|default$)/.test(metadata.name));
  const pods = (await cluster.get<List<Labelled>>(['pods', '--namespace', 'kube-system'])).items;
  return [...kept, ...pods].map(
    ({ kind, metadata: { name, labels, annotations } }) =>
      `${kind} ${name.replace(/-[a-z0-9]{5}$/, '')} ${JSON.stringify([labels, annotations])}`,
  );
}

function linesOf(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
