import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AmbitError, errorCode } from '../../config/errors.ts';
import { addressesOfFibTrie, addressesOfIfInet6 } from './namespace-addresses.ts';
import { parsePodCgroup } from './pod-cgroup.ts';
import type { PodCgroup } from './pod-cgroup.ts';

/** What tells one network namespace from all others that exist at the same time. */
export interface NamespaceIdentity {
  readonly device: bigint;
  readonly inode: bigint;
}

/** A process of a container of a pod. */
export interface PodProcess extends PodCgroup {
  readonly pid: number;
  /** Since boot, in clock ticks: together with the number it names one process. */
  readonly startTime: bigint;
  /** null: it cannot be read. */
  readonly netns: NamespaceIdentity | null;
}

/** The kernel's own limit of numbers on a 64-bit machine is higher; a node has some thousands of processes. */
const MOST_PROCESSES = 65_536;
const AT_ONCE = 32;
/** A process may end while it is looked at, and a zombie has no namespaces. */
const GONE = new Set(['ENOENT', 'ESRCH', 'EINVAL']);

/** The processes of the node, seen through its /proc. */
export class HostProcesses {
  readonly #proc: string;
  readonly #nodeNetns: string;

  /** @param nodeNetns path of the node's own network namespace */
  constructor(proc: string, nodeNetns: string) {
    this.#proc = proc;
    this.#nodeNetns = nodeNetns;
  }

  /** Path of a process's network namespace. */
  netnsPath(pid: number): string {
    return join(this.#proc, String(pid), 'ns/net');
  }

  /** @throws AmbitError `HOST_PROC_UNREADABLE` */
  async nodeNetns(): Promise<NamespaceIdentity> {
    try {
      return await identityOf(this.#nodeNetns);
    } catch (cause) {
      const advice = 'mount the /proc of the node there, and give the agent CAP_SYS_PTRACE and no AppArmor profile';
      throw new AmbitError('HOST_PROC_UNREADABLE', `${this.#nodeNetns} cannot be read; ${advice}`, { cause });
    }
  }

  /** Processes of containers of these pods that are in a network namespace other than the node's. */
  async ofPods(uids: ReadonlySet<string>): Promise<readonly PodProcess[]> {
    const node = await this.nodeNetns();
    const pids = (await readdir(this.#proc)).filter((name) => /^\d+$/.test(name)).slice(0, MOST_PROCESSES);
    const found: PodProcess[] = [];
    for (let start = 0; start < pids.length; start += AT_ONCE) {
      const looks = pids.slice(start, start + AT_ONCE).map((pid) => this.#look(Number(pid), node, uids));
      found.push(...(await Promise.all(looks)).filter((process) => process !== null));
    }
    return found;
  }

  /** Whether the number still means the same process. */
  async isAlive({ pid, startTime }: PodProcess): Promise<boolean> {
    return (await unlessGone(this.#startTime(pid))) === startTime;
  }

  /** Addresses of the process's network namespace, in canonical text. */
  async addresses({ pid }: PodProcess): Promise<ReadonlySet<string>> {
    const read = async (name: string): Promise<string> =>
      (await unlessGone(readFile(join(this.#proc, String(pid), 'net', name), 'utf8'))) ?? '';
    const [four, six] = await Promise.all([read('fib_trie'), read('if_inet6')]);
    return new Set([...addressesOfFibTrie(four), ...addressesOfIfInet6(six)]);
  }

  async #look(pid: number, node: NamespaceIdentity, uids: ReadonlySet<string>): Promise<PodProcess | null> {
    const netns = await this.#netnsOf(pid);
    if (netns === 'gone' || (netns !== null && isSameNamespace(netns, node))) return null;
    const cgroup = await unlessGone(readFile(join(this.#proc, String(pid), 'cgroup'), 'utf8'));
    const pod = cgroup === null ? null : parsePodCgroup(cgroup);
    if (pod === null || !uids.has(pod.podUid)) return null;
    const startTime = await unlessGone(this.#startTime(pid));
    return startTime === null ? null : { ...pod, pid, startTime, netns };
  }

  /** null: it cannot be read; a process with more rights than ours must not hide all others. */
  async #netnsOf(pid: number): Promise<NamespaceIdentity | 'gone' | null> {
    try {
      return await identityOf(this.netnsPath(pid));
    } catch (error) {
      return isGone(error) ? 'gone' : null;
    }
  }

  /** proc_pid_stat(5): the name in brackets may hold anything; the time is the 20th field after it. */
  async #startTime(pid: number): Promise<bigint> {
    const text = await readFile(join(this.#proc, String(pid), 'stat'), 'utf8');
    return BigInt(text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '0');
  }
}

export async function identityOf(path: string): Promise<NamespaceIdentity> {
  const { dev, ino } = await stat(path, { bigint: true });
  return { device: dev, inode: ino };
}

export function isSameNamespace(left: NamespaceIdentity, right: NamespaceIdentity): boolean {
  return left.device === right.device && left.inode === right.inode;
}

async function unlessGone<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return GONE.has(errorCode(error) ?? '');
}
