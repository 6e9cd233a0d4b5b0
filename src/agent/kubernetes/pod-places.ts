import { join } from 'node:path';
import type { LocalPod } from '../../model/workload.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { AgentMetrics } from '../../telemetry/metrics.ts';
import { backOffDelay } from '../../timing/back-off.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import type { NodePlaces } from '../node-pods.ts';
import { Changes } from './changes.ts';
import type { HostProcesses, NamespaceIdentity } from './host-processes.ts';
import { isSameNamespace } from './host-processes.ts';
import { NetnsSearch } from './netns-search.ts';
import type { Finding, RefusalReason } from './netns-search.ts';
import { OpenNetns } from './open-netns.ts';

export interface PodPlacesDependencies {
  readonly processes: HostProcesses;
  readonly hostProc: string;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'netnsRefused'>;
}

/** What the CNI's runtime has said of a pod's interface. */
export interface Attachment {
  readonly container: string;
  readonly interface: string;
}

export interface ToldNetns extends Attachment {
  /** In the node's own file system. */
  readonly path: string;
  readonly identity: NamespaceIdentity;
  /** That the CNI has given to the pod. */
  readonly addresses: readonly string[];
}

export interface Refusal {
  readonly reason: RefusalReason;
  readonly message: string;
}

interface Place {
  readonly netns: OpenNetns;
  /** Of the sandbox, where its process was the oldest; else of another container of the pod. */
  readonly container: string;
  /** null: it was found by its processes. */
  readonly interface: string | null;
  /** Of the pod, as they were when it was found. */
  readonly addresses: string;
}

const RETRY = { first: 500, longest: 30_000, jitter: 0.2 };
/** The engine opens a path within an operation of its own; one that is not current any more is asked for no more by then. */
const RETIREMENT_MS = 60_000;

/** Where the network namespaces of this node's pods are: told by the CNI, or found by their processes. */
export class PodPlaces implements NodePlaces {
  readonly changes = new Changes();
  readonly #dependencies: PodPlacesDependencies;
  readonly #search: NetnsSearch;
  #pods: ReadonlyMap<string, LocalPod> = new Map();
  readonly #places = new Map<string, Place>();
  /** Namespaces that the runtime is taking down, although the API still has their pods. */
  readonly #departed = new Map<string, NamespaceIdentity>();
  readonly #refusals = new Map<string, Refusal>();
  readonly #retired = new Set<OpenNetns>();
  #missing = '';
  #searching: Promise<void> | null = null;
  #again = false;
  #attempts = 0;
  #cancelRetry: () => void = () => undefined;
  #stopped = false;

  constructor(dependencies: PodPlacesDependencies) {
    this.#dependencies = dependencies;
    this.#search = new NetnsSearch(dependencies.processes);
  }

  /** Whatever the documents say of namespaces counts for nothing. */
  place(pods: ReadonlyMap<string, LocalPod>): ReadonlyMap<string, LocalPod> {
    this.#pods = pods;
    this.#forgetGone();
    this.#seekMissing();
    const present = [...pods].filter(([uid]) => !this.#departed.has(uid));
    return new Map(
      present.map(([uid, pod]) => [uid, { ...pod, netns: this.#places.get(uid)?.netns.path ?? null }] as const),
    );
  }

  listen(listener: () => void): void {
    this.changes.listen(listener);
  }

  /** Resolves when whatever is missing has been looked for once. */
  async looked(): Promise<void> {
    await this.#searching;
  }

  /** Why the pod's namespace is not taken; null: nothing is wrong with it. */
  refusal(uid: string): Refusal | null {
    return this.#refusals.get(uid) ?? null;
  }

  netns(uid: string): Pick<OpenNetns, 'identity' | 'path'> | null {
    return this.#places.get(uid)?.netns ?? null;
  }

  /** The CNI's runtime has made it. @returns why it is not taken; null: it is */
  async told(uid: string, netns: ToldNetns): Promise<Refusal | null> {
    const opened = await this.#openTold(netns);
    if (!(opened instanceof OpenNetns)) {
      this.#refuse(uid, opened);
      return opened;
    }
    this.#departed.delete(uid);
    this.#settle(uid, opened, { ...netns, addresses: textOf(netns.addresses) });
    this.changes.announce();
    return null;
  }

  /** The runtime takes down what it made: the pod leaves while its network still stands. @returns whether it was known */
  depart(uid: string, { container, interface: name }: Attachment): boolean {
    const place = this.#places.get(uid);
    if (place?.container !== container || (place.interface !== null && place.interface !== name)) return false;
    this.#departed.set(uid, place.netns.identity);
    this.#drop(uid);
    this.changes.announce();
    return true;
  }

  /** @param attachments all that the runtime still has */
  collect(attachments: readonly Attachment[]): void {
    const kept = new Set(attachments.map(({ container, interface: name }) => `${container}/${name}`));
    for (const [uid, { container, interface: name }] of [...this.#places]) {
      if (name !== null && !kept.has(`${container}/${name}`)) this.depart(uid, { container, interface: name });
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry();
    await this.#searching;
    for (const uid of [...this.#places.keys()]) this.#drop(uid);
    await Promise.all([...this.#retired].map((netns) => this.#close(netns)));
  }

  async #openTold({ path, identity }: ToldNetns): Promise<OpenNetns | Refusal> {
    const { processes, hostProc } = this.#dependencies;
    const node = await processes.nodeNetns();
    if (isSameNamespace(identity, node)) {
      return { reason: 'node', message: `${path} is the network namespace of the node itself` };
    }
    let found = false;
    // The second one where the runtime keeps its namespaces in a folder that is not mounted here.
    for (const candidate of [path, join(hostProc, '1/root', path)]) {
      const opened = await OpenNetns.open(candidate).catch(() => null);
      if (opened !== null && isSameNamespace(opened.identity, identity)) return opened;
      found ||= opened !== null;
      await opened?.close();
    }
    return found
      ? { reason: 'changed', message: `${path} is another network namespace than the one that the runtime named` }
      : {
          reason: 'unreadable',
          message: `${path} cannot be opened; mount the folder into the agent as it is on the node`,
        };
  }

  #forgetGone(): void {
    for (const uid of [...this.#places.keys()]) if (!this.#pods.has(uid)) this.#drop(uid);
    for (const known of [this.#departed, this.#refusals]) {
      for (const uid of [...known.keys()]) if (!this.#pods.has(uid)) known.delete(uid);
    }
  }

  /** New addresses may be those of a new sandbox that nobody told us of. */
  #isMissing({ uid, wanted, addresses }: LocalPod): boolean {
    const place = this.#places.get(uid);
    return wanted && addresses.length > 0 && (place === undefined || place.addresses !== textOf(addresses));
  }

  #seekMissing(): void {
    const missing = [...this.#pods.values()].filter((pod) => this.#isMissing(pod));
    const names = missing.map(({ uid, addresses }) => `${uid} ${textOf(addresses)}`).join();
    if (names === this.#missing) return;
    this.#missing = names;
    this.#attempts = 0;
    this.#cancelRetry();
    if (missing.length === 0 || this.#stopped) return;
    if (this.#searching === null) this.#searching = this.#seek();
    else this.#again = true;
  }

  async #seek(): Promise<void> {
    const missing = [...this.#pods.values()].filter((pod) => this.#isMissing(pod));
    try {
      const findings = await this.#search.search(missing);
      for (const [uid, finding] of findings) await this.#take(uid, finding);
    } catch (error) {
      this.#dependencies.logger.error(
        errorFields(error),
        'network namespaces of pods cannot be looked for; tried again',
      );
    }
    this.#searching = null;
    if (this.#stopped) return;
    this.changes.announce();
    this.#seekLater();
  }

  #seekLater(): void {
    const { timers, random } = this.#dependencies;
    const due = this.#again;
    this.#again = false;
    if (due) this.#searching ??= this.#seek();
    else if ([...this.#pods.values()].some((pod) => this.#isMissing(pod))) {
      this.#cancelRetry();
      this.#cancelRetry = timers.after(backOffDelay(++this.#attempts, RETRY, random), () => {
        this.#searching ??= this.#seek();
      });
    }
  }

  async #take(uid: string, finding: Finding): Promise<void> {
    if (finding.kind === 'absent') return;
    if (finding.kind === 'refused') {
      this.#refuse(uid, finding);
      return;
    }
    const { netns, container } = finding;
    const departed = this.#departed.get(uid);
    const place = this.#places.get(uid);
    // Meanwhile the pod may have gone, or the CNI may have told of a newer one.
    if (!this.#pods.has(uid) || (departed !== undefined && isSameNamespace(departed, netns.identity))) {
      await netns.close();
    } else {
      this.#departed.delete(uid);
      const addresses = textOf(this.#pods.get(uid)?.addresses ?? []);
      this.#settle(uid, netns, { container, interface: place?.interface ?? null, addresses });
    }
  }

  /** One that is open already keeps its path: another path would look like another namespace. */
  #settle(uid: string, netns: OpenNetns, { container, interface: name, addresses }: Omit<Place, 'netns'>): void {
    const known = this.#places.get(uid)?.netns;
    const same = known !== undefined && isSameNamespace(known.identity, netns.identity);
    this.#refusals.delete(uid);
    this.#places.set(uid, { netns: same ? known : netns, container, interface: name, addresses });
    if (same) void netns.close();
    else if (known !== undefined) this.#retire(known);
  }

  #refuse(uid: string, { reason, message }: Refusal): void {
    if (this.#refusals.get(uid)?.message === message) return;
    const { logger, metrics } = this.#dependencies;
    this.#refusals.set(uid, { reason, message });
    metrics.netnsRefused.inc({ reason });
    const { namespace = '', name = '' } = this.#pods.get(uid) ?? {};
    logger.warn({ pod: `${namespace}/${name}`, uid, reason }, message);
  }

  #drop(uid: string): void {
    const place = this.#places.get(uid);
    this.#places.delete(uid);
    if (place !== undefined) this.#retire(place.netns);
  }

  #retire(netns: OpenNetns): void {
    this.#retired.add(netns);
    this.#dependencies.timers.after(RETIREMENT_MS, () => void this.#close(netns));
  }

  async #close(netns: OpenNetns): Promise<void> {
    if (this.#retired.delete(netns)) await netns.close();
  }
}

function textOf(addresses: readonly string[]): string {
  return [...addresses].sort().join();
}
