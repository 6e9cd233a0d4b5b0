import { findCgroupRoot, mountAt } from '../../agent/mounts.ts';
import type { Mount } from '../../agent/mounts.ts';
import { failed, ok, warn } from './finding.ts';
import type { Finding } from './finding.ts';

/** What the interception needs of a kernel, with the first release that has it. */
const features: readonly (readonly [feature: string, release: string])[] = [
  ['network namespace cookies in connect hooks', '5.7'],
  ['socket options and storage in connect hooks', '5.8'],
  ['socket look-up programs', '5.9'],
  ['reading kernel memory in connect hooks', '5.10'],
  ['the incoming interface in socket look-ups', '5.17'],
];

/** By its release: distributions bring some features to older ones, so the agent, which tries each, has the last word. */
export function kernelFindings(where: string, release: string): readonly Finding[] {
  const version = versionOf(release);
  if (version === null)
    return [warn(`${where}: kernel ${release} is of no known kind`, 'see docs/interception.md for what it must have')];
  const missing = features.filter(([, since]) => isOlder(version, versionOf(since) ?? [0, 0]));
  if (missing.length === 0) return [ok(`${where}: kernel ${release}`)];
  return missing.map(([feature, since]) =>
    failed(`${where}: kernel ${release} is older than Linux ${since}, which brought ${feature}`, 'use a newer kernel'),
  );
}

type Version = readonly [major: number, minor: number];

function versionOf(release: string): Version | null {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return major === undefined || minor === undefined ? null : [Number(major), Number(minor)];
}

function isOlder([major, minor]: Version, [wantedMajor, wantedMinor]: Version): boolean {
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
}

/** What can be seen of this machine. */
export interface Machine {
  readonly release: string;
  /** Whether the kernel tells the layout of its types. */
  readonly hasTypes: boolean;
  readonly mounts: readonly Mount[];
}

/** For a machine that is to be a node, or is one. */
export function machineFindings({ release, hasTypes, mounts }: Machine): readonly Finding[] {
  return [
    ...kernelFindings('this machine', release),
    hasTypes
      ? ok('this machine: the kernel has BTF')
      : failed('this machine: /sys/kernel/btf/vmlinux is not there', 'use a kernel with CONFIG_DEBUG_INFO_BTF=y'),
    cgroupFinding(mounts),
    mountAt(mounts, '/sys/fs/bpf')?.type === 'bpf'
      ? ok('this machine: bpffs is at /sys/fs/bpf')
      : warn(
          'this machine: there is no bpffs at /sys/fs/bpf',
          'mount it when the machine starts: `mount -t bpf bpf /sys/fs/bpf`; the agent’s pod needs it there',
        ),
  ];
}

function cgroupFinding(mounts: readonly Mount[]): Finding {
  const root = findCgroupRoot(mounts);
  if (root === '/sys/fs/cgroup') return ok('this machine: cgroup2 is at /sys/fs/cgroup');
  if (root === null) {
    return failed('this machine: cgroup2 is not mounted', 'start it with systemd.unified_cgroup_hierarchy=1');
  }
  return warn(
    `this machine: cgroup2 is at ${root}`,
    `install with --set node.cgroupDir=${root} if all nodes have it there`,
  );
}
