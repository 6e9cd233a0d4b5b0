import { execFile } from 'node:child_process';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AmbitError } from '../config/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { findCgroupRoot, mountAt, parseMountInfo } from './mounts.ts';
import type { Mount } from './mounts.ts';

/** What the agent needs to know of the machine; injected, so that tests need no machine of a certain kind. */
export interface Host {
  /** Of this process, and of PID 1. */
  mounts(of: 'self' | 'init'): Promise<readonly Mount[]>;
  /** Names the mount namespace: equal for two processes exactly when they share it. */
  mountNamespace(of: 'self' | 'init'): Promise<string>;
  mountBpffs(point: string): Promise<void>;
}

const run = promisify(execFile);
const MOUNT_TIMEOUT_MS = 10_000;
/** @param proc where the node's processes are seen */
export function linuxHost(proc: string): Host {
  const processes = { self: '/proc/self', init: `${proc}/1` } as const;
  return {
    mounts: async (of) => parseMountInfo(await readFile(`${processes[of]}/mountinfo`, 'utf8')),
    // Reading the link /proc/1/ns/mnt takes every capability that PID 1 has. A mount's number, the first field of a line,
    // is unique on the machine, and a new namespace numbers its copies anew.
    mountNamespace: async (of) => (await readFile(`${processes[of]}/mountinfo`, 'utf8')).split(' ', 1)[0] ?? '',
    mountBpffs: async (point) => {
      await mkdir(point, { recursive: true });
      await run('mount', ['-t', 'bpf', 'bpf', point], { timeout: MOUNT_TIMEOUT_MS });
    },
  };
}

/**
 * Sees to it that what the engine pins outlives this process: pins live as long as their file system is mounted anywhere.
 *
 * @throws AmbitError `BPFFS_VOLATILE` or `BPFFS_UNUSABLE`
 */
export async function ensureBpffs(host: Host, point: string, logger: Logger): Promise<void> {
  const own = (await host.mountNamespace('self')) !== (await host.mountNamespace('init'));
  const mounted = mountAt(await host.mounts('self'), point);
  if (mounted?.type === 'bpf') {
    if (own && !(await isHeldByInit(host, mounted))) throw volatileBpffs(point);
    return;
  }
  if (own) throw volatileBpffs(point);
  try {
    await host.mountBpffs(point);
  } catch (cause) {
    const advice = `mount it as root with \`mount -t bpf bpf ${point}\`, or name another place with --bpffs`;
    throw new AmbitError('BPFFS_UNUSABLE', `no bpffs at ${point}, and mounting one failed; ${advice}`, { cause });
  }
  logger.info({ point }, 'bpffs mounted');
}

/** @throws AmbitError `CGROUP_MISSING` */
export async function cgroupRoot(host: Host, configured: string | null): Promise<string> {
  const root = configured ?? findCgroupRoot(await host.mounts('self'));
  if (root !== null) return root;
  const advice = 'mount it with `mount -t cgroup2 none /sys/fs/cgroup/unified`, or name its place with --cgroup-root';
  throw new AmbitError('CGROUP_MISSING', `the root of the cgroup2 tree is not mounted here; ${advice}`);
}

/** As kubelets name the folder of all pods, by cgroup driver; the latter two under kind, whose nodes are containers. */
const podsCgroups = ['kubepods.slice', 'kubepods', 'kubelet.slice/kubelet-kubepods.slice', 'kubelet/kubepods'];

/** Relative to the root; null: no kubelet has made one there. */
export async function findPodsCgroup(root: string): Promise<string | null> {
  for (const folder of podsCgroups) {
    const found = await stat(join(root, folder)).catch(() => null);
    if (found?.isDirectory() === true) return folder;
  }
  return null;
}

async function isHeldByInit(host: Host, mounted: Mount): Promise<boolean> {
  const mounts = await host.mounts('init');
  return mounts.some((mount) => mount.type === 'bpf' && mount.device === mounted.device);
}

function volatileBpffs(point: string): AmbitError {
  return new AmbitError(
    'BPFFS_VOLATILE',
    `a bpffs at ${point} would vanish together with this agent's own mount namespace, and its pods would fall out of ` +
      'the mesh: start the agent with `nsenter --net=/run/netns/NODE` instead of `ip netns exec`, or in a container ' +
      "with the node's /sys/fs/bpf mounted into it",
  );
}
