/** One line of /proc/<pid>/mountinfo, as far as it matters here. */
export interface Mount {
  /** Which superblock: two mounts with the same one show the same files. */
  readonly device: string;
  /** The folder of that file system which is mounted. */
  readonly root: string;
  readonly point: string;
  readonly type: string;
}

/** proc_pid_mountinfo(5): optional fields end at a lone `-`; blanks in paths are written in octal. */
export function parseMountInfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    const [, , device, root, point] = fields;
    const type = fields[separator + 1];
    if (separator < 0 || device === undefined || root === undefined || point === undefined || type === undefined) {
      return [];
    }
    return [{ device, root: unescapePath(root), point: unescapePath(point), type }];
  });
}

/** The mount that is visible at a path: the last one mounted there. */
export function mountAt(mounts: readonly Mount[], point: string): Mount | null {
  return mounts.findLast((mount) => mount.point === point) ?? null;
}

/** Where cgroup2 is usually found: alone, or beside version 1 ("hybrid"). */
const USUAL_CGROUP_ROOTS = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'];

/**
 * Mount point of the cgroup2 tree's root: a mount of a part of the tree would leave out the pods elsewhere. Null where
 * there is none.
 */
export function findCgroupRoot(mounts: readonly Mount[]): string | null {
  const visible = mounts.filter((mount) => mount.type === 'cgroup2' && mountAt(mounts, mount.point) === mount);
  const whole = visible.filter((mount) => mount.root === '/').map((mount) => mount.point);
  return USUAL_CGROUP_ROOTS.find((point) => whole.includes(point)) ?? whole[0] ?? null;
}

function unescapePath(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_match, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
