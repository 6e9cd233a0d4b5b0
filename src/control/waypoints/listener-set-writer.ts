import type { KubeClient } from '../../kube/kube-client.ts';
import { isNotFound } from '../../kube/kube-error.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import { aborted } from '../../process/lifecycle.ts';
import { pause } from '../../timing/pause.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import type { GatewayReports } from '../gateway-report.ts';
import { apply } from './apply.ts';
import { dated, holdsAlready } from './dated-status.ts';
import type { ListenerSetObject } from './gateway-object.ts';
import type { LiveWaypoints } from './live-waypoints.ts';
import { sayOfListenerSet } from './say-of-gateway.ts';
import { gatewayApi } from './waypoint-kinds.ts';

export interface ListenerSetWriterDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  readonly live: Pick<LiveWaypoints, 'listenerSets' | 'gateways' | 'synced'>;
  readonly reports: () => GatewayReports;
  readonly timers: Timers;
  readonly random: Random;
  readonly onFailure: (name: string, error: unknown, failures: number) => void;
}

const LOOK_EVERY_MS = 1000;
const kind = 'ListenerSet ';

/** Writes what becomes of ListenerSets into their status: of those that are reported, for others are somebody else's. For the leader only. */
export class ListenerSetWriter {
  readonly #dependencies: ListenerSetWriterDependencies;
  readonly #queue: WorkQueue;

  constructor(dependencies: ListenerSetWriterDependencies) {
    this.#dependencies = dependencies;
    const { timers, random, onFailure } = dependencies;
    this.#queue = new WorkQueue({
      work: (key) => this.#write(key),
      concurrency: 1,
      timers,
      random,
      onFailure: (key, error, failures) => {
        onFailure(kind + key, error, failures);
      },
    });
  }

  /** Resolves after the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { live, timers } = this.#dependencies;
    await Promise.race([live.synced, aborted(signal)]);
    live.listenerSets.listen((changes) => {
      for (const { key } of changes) this.#queue.add(key);
    });
    for (let before = new Map<string, string>(); !signal.aborted;) {
      const now = this.#said();
      for (const [key, text] of now) if (before.get(key) !== text) this.#queue.add(key);
      before = now;
      await pause(LOOK_EVERY_MS, timers, signal);
    }
    await this.#queue.stop();
  }

  /** All that the status of each is made of, as one text. */
  #said(): Map<string, string> {
    const { live, reports } = this.#dependencies;
    const reported = [...reports()].filter(([resource]) => resource.startsWith(kind));
    return new Map(
      reported.map(([resource, report]) => {
        const key = resource.slice(kind.length);
        const set = live.listenerSets.get(key);
        return [key, JSON.stringify([report, set === null ? false : this.#serves(set)])];
      }),
    );
  }

  async #write(key: string): Promise<void> {
    const { client, live, reports, timers } = this.#dependencies;
    const set = live.listenerSets.get(key);
    const report = reports().get(kind + key);
    if (set === null || report === undefined || set.metadata.deletionTimestamp !== null) return;
    const status = dated(set, sayOfListenerSet(set, report, this.#serves(set)), timers.now());
    if (holdsAlready(set, status)) return;
    const { name, namespace } = set.metadata;
    const path = `/apis/${gatewayApi}/namespaces/${namespace}/listenersets/${name}/status`;
    try {
      await apply(client, path, { apiVersion: gatewayApi, kind: 'ListenerSet', metadata: { name, namespace }, status });
    } catch (error) {
      // Gone meanwhile, and its status with it.
      if (!isNotFound(error)) throw error;
    }
  }

  /** As its Gateway says of itself. */
  #serves({ metadata, spec }: ListenerSetObject): boolean {
    const gateway = this.#dependencies.live.gateways.get(
      `${spec.parentRef.namespace ?? metadata.namespace}/${spec.parentRef.name}`,
    );
    const said = gateway?.status.conditions.find(({ type }) => type === 'Programmed');
    return said?.status === 'True' || said?.reason === 'AddressNotAssigned';
  }
}
