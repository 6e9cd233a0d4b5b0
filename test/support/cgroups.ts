import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { findCgroupRoot, parseMountInfo } from '../../src/agent/mounts.ts';
import { waitFor } from './wait.ts';

/** How a kubelet names the folders of pods. */
export type CgroupDriver = 'systemd' | 'cgroupfs';

/** Mount point of cgroup2. */
export async function cgroupRoot(): Promise<string> {
  const root = findCgroupRoot(parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8')));
  if (root === null) throw new Error('cgroup2 is not mounted');
  return root;
}

/** Folder of a run, relative to the root. */
export function runCgroup(run: string): string {
  return `ambit-${run}`;
}

/** Folder of all pods of a run, as its kubelets would have it at the root. */
export function podsCgroup(run: string, driver: CgroupDriver): string {
  return join(runCgroup(run), driver === 'systemd' ? 'kubepods.slice' : 'kubepods');
}

/** Folder of a container. @param uid of the pod, as its kubelet knows it */
export function containerCgroup(run: string, driver: CgroupDriver, uid: string, container: string): string {
  const pods = podsCgroup(run, driver);
  if (driver === 'cgroupfs') return join(pods, 'burstable', `pod${uid}`, container);
  const pod = `kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`;
  return join(pods, 'kubepods-burstable.slice', pod, `cri-containerd-${container}.scope`);
}

/** Makes the folder. @returns where a process writes itself in */
export async function makeCgroup(folder: string): Promise<string> {
  const path = join(await cgroupRoot(), folder);
  await mkdir(path, { recursive: true });
  return join(path, 'cgroup.procs');
}

/** Folders of runs that left some. */
export async function runsWithCgroups(): Promise<string[]> {
  return (await readdir(await cgroupRoot())).filter((name) => name.startsWith('ambit-r'));
}

/** All folders of a run, with whatever still runs in them. */
export async function removeCgroups(run: string): Promise<void> {
  const top = join(await cgroupRoot(), runCgroup(run));
  await writeFile(join(top, 'cgroup.kill'), '1').catch(() => undefined);
  const empty = async (): Promise<boolean> =>
    !(await readFile(join(top, 'cgroup.events'), 'utf8')).includes('populated 1');
  if (existsSync(top)) await waitFor(empty, { what: `the end of what runs in ${top}` });
  const entries = await readdir(top, { recursive: true, withFileTypes: true }).catch(() => []);
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ parentPath, name }) => join(parentPath, name));
  const deepestFirst = folders.sort((left, right) => right.split('/').length - left.split('/').length);
  for (const folder of [...deepestFirst, ...(folders.length > 0 ? [top] : [])]) await rmdir(folder);
}
