import { isSameNamespace } from './host-processes.ts';
import type { HostProcesses, PodProcess } from './host-processes.ts';
import { OpenNetns } from './open-netns.ts';

/** A pod that is looked for. */
export interface SoughtPod {
  readonly uid: string;
  /** All of these must be addresses of its namespace. */
  readonly addresses: readonly string[];
}

export type RefusalReason = 'address' | 'node' | 'changed' | 'unreadable';

export type Finding =
  | { readonly kind: 'found'; readonly netns: OpenNetns; readonly container: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly message: string };

/** Finds the network namespaces of running pods by their processes. */
export class NetnsSearch {
  readonly #processes: HostProcesses;

  constructor(processes: HostProcesses) {
    this.#processes = processes;
  }

  /** One walk over all processes. @throws AmbitError `HOST_PROC_UNREADABLE` */
  async search(pods: readonly SoughtPod[]): Promise<ReadonlyMap<string, Finding>> {
    const byPod = new Map<string, PodProcess>();
    for (const process of await this.#processes.ofPods(new Set(pods.map(({ uid }) => uid)))) {
      const oldest = byPod.get(process.podUid);
      // The oldest is the one that the runtime made the namespace for; later ones may have entered others.
      if (oldest === undefined || isOlder(process, oldest)) byPod.set(process.podUid, process);
    }
    const findings = pods.map(async (pod) => [pod.uid, await this.#examine(pod, byPod.get(pod.uid))] as const);
    return new Map(await Promise.all(findings));
  }

  async #examine(pod: SoughtPod, process: PodProcess | undefined): Promise<Finding> {
    if (process === undefined || pod.addresses.length === 0) return { kind: 'absent' };
    if (process.netns === null) return unreadable(process);
    const netns = await this.#open(process);
    if (netns === null) return { kind: 'absent' };
    const finding = await this.#check(pod, process, netns);
    if (finding.kind !== 'found') await netns.close();
    return finding;
  }

  async #open({ pid }: PodProcess): Promise<OpenNetns | null> {
    try {
      return await OpenNetns.open(this.#processes.netnsPath(pid));
    } catch {
      return null;
    }
  }

  /** What was read by the process's number is true of the namespace that was opened only while it is the same process. */
  async #check(pod: SoughtPod, process: PodProcess, netns: OpenNetns): Promise<Finding> {
    const own = await this.#processes.addresses(process);
    if (!(await this.#processes.isAlive(process))) return { kind: 'absent' };
    if (process.netns === null || !isSameNamespace(netns.identity, process.netns)) {
      const message = `process ${process.pid} of the pod has changed its network namespace while it was looked at`;
      return { kind: 'refused', reason: 'changed', message };
    }
    const missing = pod.addresses.find((address) => !own.has(address));
    if (missing === undefined) return { kind: 'found', netns, container: process.container };
    const message = `the network namespace of process ${process.pid} has no address ${missing}: it is not that of the pod`;
    return { kind: 'refused', reason: 'address', message };
  }
}

function unreadable({ pid }: PodProcess): Finding {
  const advice = 'give the agent CAP_SYS_PTRACE and no AppArmor profile';
  const message = `the network namespace of process ${pid} of the pod cannot be read; ${advice}`;
  return { kind: 'refused', reason: 'unreadable', message };
}

function isOlder(left: PodProcess, right: PodProcess): boolean {
  return left.startTime === right.startTime ? left.pid < right.pid : left.startTime < right.startTime;
}
