import { isDeepStrictEqual } from 'node:util';
import type { ServiceEntryDocument } from '../../config/manifests/schemas/service-entry.ts';
import { assignAddresses } from '../../config/manifests/automatic-addresses.ts';
import type { HostAddress } from '../../config/manifests/automatic-addresses.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import { isNotFound } from '../../kube/kube-error.ts';
import { serverSideApply } from '../../kube/server-side-apply.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import { pause } from '../../timing/pause.ts';
import type { Random, Timers } from '../../timing/timers.ts';

export interface AddressWriterDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  /** By `namespace/name`. */
  readonly entries: () => ReadonlyMap<string, ServiceEntryDocument>;
  readonly timers: Timers;
  readonly random: Random;
  readonly onFailure: (name: string, error: unknown, failures: number) => void;
}

const apiVersion = 'networking.istio.io/v1';
/** Other than that of conditions: what one does not name of its own fields, the API server takes away. */
const MANAGER = 'ambit-addresses';
const EVERY_MS = 1000;

/** Chooses addresses for the hosts of ServiceEntries and writes them into their status, which all replicas read. For the leader only. */
export class AddressWriter {
  readonly #dependencies: AddressWriterDependencies;
  readonly #queue: WorkQueue;
  #wanted: ReadonlyMap<string, readonly HostAddress[]> = new Map();
  #seen: readonly ServiceEntryDocument[] = [];
  /** Entries that ask for none any more, and were told so: what others have written there stays theirs. */
  readonly #released = new Set<string>();

  constructor(dependencies: AddressWriterDependencies) {
    this.#dependencies = dependencies;
    const { timers, random, onFailure } = dependencies;
    this.#queue = new WorkQueue({
      work: (key, signal) => this.#write(key, signal),
      concurrency: 4,
      timers,
      random,
      onFailure: (key, error, failures) => {
        onFailure(`addresses of ServiceEntry ${key}`, error, failures);
      },
    });
  }

  /** Until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.look();
      await pause(EVERY_MS, this.#dependencies.timers, signal);
    }
    await this.#queue.stop();
  }

  /** Has written what is not as it should be. */
  look(): void {
    const entries = this.#dependencies.entries();
    const documents = [...entries.values()];
    // Documents are replaced, never changed: mostly there is nothing to do.
    if (
      documents.length === this.#seen.length &&
      documents.every((document, index) => document === this.#seen[index])
    ) {
      return;
    }
    this.#seen = documents;
    this.#wanted = assignAddresses(documents);
    for (const [key, document] of entries) {
      const wanted = this.#wanted.get(key);
      if (wanted !== undefined) this.#released.delete(key);
      else if (this.#released.has(key)) continue;
      if (!isDeepStrictEqual(statusOf(document), wanted ?? [])) this.#queue.add(key);
    }
  }

  async #write(key: string, signal: AbortSignal): Promise<void> {
    const [namespace = '', name = ''] = key.split('/');
    const addresses = this.#wanted.get(key);
    const identity = { apiVersion, kind: 'ServiceEntry', metadata: { namespace, name } };
    const path = `/apis/${apiVersion}/namespaces/${namespace}/serviceentries/${name}/status`;
    const body = { ...identity, status: addresses === undefined ? {} : { addresses } };
    try {
      const request = serverSideApply(path, body, { fieldManager: MANAGER, force: true });
      await this.#dependencies.client.send({ ...request, signal });
      if (addresses === undefined) this.#released.add(key);
    } catch (error) {
      // Gone meanwhile, and its addresses with it.
      if (!isNotFound(error)) throw error;
    }
  }
}

function statusOf({ status }: ServiceEntryDocument): readonly HostAddress[] {
  return status.addresses.map(({ host, value }) => ({ host: host ?? '', value }));
}
