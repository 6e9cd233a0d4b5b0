/** Which container of which pod a process belongs to, as its cgroup says. */
export interface PodCgroup {
  readonly podUid: string;
  /** The runtime's id. */
  readonly container: string;
}

/**
 * The kubelet's name of a pod's folder, however the cgroup driver writes it: `pod<uid>`, `kubepods-burstable-pod<uid>.slice` with
 * `_` for `-`, or a unit `…pod<uid>.slice:cri-containerd:<id>` where the runtime has no systemd driver.
 */
const podSegment =
  /^(?:[a-z0-9-]+-)?pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})(?:\.slice)?(?::[a-z-]+:([0-9a-f]{16,128}))?$/;
/** `<id>`, `cri-containerd-<id>.scope`, `crio-<id>`, `docker-<id>.scope`. */
const containerSegment = /^(?:[a-z-]+-)?([0-9a-f]{16,128})(?:\.scope)?$/;

/**
 * The text of /proc/PID/cgroup of one process, of either version. null: no container of a pod. The first folder of a pod on the
 * way down counts: a pod with cgroups of its own may name folders below it as it likes. Paths may begin with `..`, because the
 * kernel writes them relative to the reader's own cgroup namespace.
 */
export function parsePodCgroup(text: string): PodCgroup | null {
  const found = text.split('\n').flatMap((line) => {
    const [, , path] = /^(\d+):([^:]*):(.*)$/.exec(line)?.slice(1) ?? [];
    const cgroup = path === undefined ? null : parsePath(path);
    return cgroup === null ? [] : [cgroup];
  });
  const [first] = found;
  // Hierarchies of version 1 that disagree are nothing that a kubelet makes.
  if (first === undefined || found.some(({ podUid }) => podUid !== first.podUid)) return null;
  return first;
}

function parsePath(path: string): PodCgroup | null {
  const segments = path.split('/');
  for (const [index, segment] of segments.entries()) {
    const [, uid, unit] = podSegment.exec(segment) ?? [];
    if (uid === undefined) continue;
    const container = unit ?? containerSegment.exec(segments[index + 1] ?? '')?.[1];
    return container === undefined ? null : { podUid: uid.replaceAll('_', '-'), container };
  }
  return null;
}
