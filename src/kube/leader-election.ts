import type { Timers } from '../timing/timers.ts';
import { linkedController, pause } from '../timing/pause.ts';
import type { KubeClient } from './kube-client.ts';
import { isConflict, isNotFound } from './kube-error.ts';

export interface LeaderElectionOptions {
  readonly client: Pick<KubeClient, 'send'>;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** Of this process among its peers, such as the name of its pod. */
  readonly identity: string;
  readonly timers: Timers;
  /** Called each time this process has become the leader; the signal ends with its lead, and what it began must end by it. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
  readonly observer: LeaderObserver;
}

export interface LeaderObserver {
  leads(leading: boolean): void;
  failed(error: unknown): void;
}

interface LeaseSpec {
  readonly holderIdentity?: string | null;
  readonly leaseDurationSeconds?: number | null;
  readonly renewTime?: string | null;
  readonly acquireTime?: string | null;
  readonly leaseTransitions?: number | null;
}

interface Lease {
  readonly metadata: { readonly resourceVersion?: string };
  readonly spec?: LeaseSpec;
}

/** As Kubernetes' own components have them: whoever cannot renew gives up before another may take over. */
const LEASE_SECONDS = 15;
const GIVE_UP_MS = 10_000;
const RETRY_MS = 2_000;

/**
 * One of several processes leads, by a Lease. How old a lease is, each process tells by its own clock since it saw it change, so
 * clocks need not agree.
 */
export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  /** What of the lease was seen last, and when by our clock. */
  #seen: { readonly renewal: string; readonly at: number } | null = null;
  #othersHold = false;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
  }

  /** Resolves after the signal, once the lease is given back. */
  async run(signal: AbortSignal): Promise<void> {
    const { timers } = this.#options;
    while (!signal.aborted) {
      if (await this.#acquire(signal)) await this.#leadOnce(signal);
      else await pause(RETRY_MS, timers, signal);
    }
  }

  async #leadOnce(signal: AbortSignal): Promise<void> {
    const { lead, observer } = this.#options;
    const { controller, release } = linkedController(signal);
    observer.leads(true);
    const leading = lead(controller.signal).catch((error: unknown) => {
      observer.failed(error);
    });
    await this.#keep(controller.signal);
    controller.abort();
    release();
    await leading;
    observer.leads(false);
    if (signal.aborted) await this.#giveBack();
  }

  /** Returns when the lease is lost, may be, or the signal ends. */
  async #keep(signal: AbortSignal): Promise<void> {
    const { timers } = this.#options;
    let renewed = timers.now();
    for (;;) {
      await pause(RETRY_MS, timers, signal);
      if (signal.aborted) return;
      if (await this.#acquire(signal)) renewed = timers.now();
      else if (timers.now() - renewed >= GIVE_UP_MS || this.#othersHold) return;
    }
  }

  /** True: the lease is ours, as of now. */
  async #acquire(signal: AbortSignal): Promise<boolean> {
    const { observer, identity } = this.#options;
    try {
      const lease = await this.#read(signal);
      this.#othersHold = lease !== null && holderOf(lease) !== '' && holderOf(lease) !== identity;
      if (this.#othersHold && lease !== null && !this.#isOver(lease)) return false;
      await this.#write(lease, identity, signal);
      this.#othersHold = false;
      return true;
    } catch (error) {
      // Another was faster: what it wrote is read the next time.
      if (!isConflict(error) && !signal.aborted) observer.failed(error);
      return false;
    }
  }

  #isOver({ spec = {} }: Lease): boolean {
    const now = this.#options.timers.now();
    const renewal = `${spec.holderIdentity ?? ''} ${spec.renewTime ?? ''}`;
    if (this.#seen?.renewal !== renewal) this.#seen = { renewal, at: now };
    return now - this.#seen.at >= (spec.leaseDurationSeconds ?? LEASE_SECONDS) * 1000;
  }

  async #read(signal: AbortSignal): Promise<Lease | null> {
    const { client } = this.#options;
    try {
      return (await client.send({ method: 'GET', path: this.#path, signal })) as Lease;
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  async #write(lease: Lease | null, holder: string, signal?: AbortSignal): Promise<void> {
    const { client, namespace, name, identity } = this.#options;
    const former = lease?.spec ?? {};
    const now = microTime(this.#options.timers.now());
    const isNew = former.holderIdentity !== identity;
    const spec: LeaseSpec = {
      holderIdentity: holder,
      leaseDurationSeconds: LEASE_SECONDS,
      renewTime: now,
      acquireTime: isNew ? now : (former.acquireTime ?? now),
      leaseTransitions: (former.leaseTransitions ?? 0) + (isNew && lease !== null ? 1 : 0),
    };
    const metadata = { ...lease?.metadata, name, namespace };
    const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
    await client.send({
      method: lease === null ? 'POST' : 'PUT',
      path: lease === null ? this.#collection : this.#path,
      body,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** So that a successor need not wait. */
  async #giveBack(): Promise<void> {
    const { observer, identity } = this.#options;
    try {
      const lease = await this.#read(new AbortController().signal);
      if (lease !== null && holderOf(lease) === identity) await this.#write(lease, '');
    } catch (error) {
      if (!isConflict(error)) observer.failed(error);
    }
  }

  get #collection(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${this.#options.namespace}/leases`;
  }

  get #path(): string {
    return `${this.#collection}/${this.#options.name}`;
  }
}

function holderOf({ spec }: Lease): string {
  return spec?.holderIdentity ?? '';
}

/** Kubernetes' MicroTime. */
function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace('Z', '000Z');
}
