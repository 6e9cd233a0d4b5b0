import type { KubeClient } from '../../kube/kube-client.ts';
import type { Random, Timers } from '../../timing/timers.ts';

export interface PodEventsDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  readonly node: string;
  readonly timers: Pick<Timers, 'now'>;
  readonly random: Random;
}

/** The pod that an Event is about. */
export interface PodReference {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

const WINDOW_MS = 60_000;
/** A node whose every pod has the same trouble must not fill the API server with it. */
const MOST_IN_WINDOW = 30;
/** Of `events.k8s.io/v1`: longer notes are refused. */
const LONGEST_NOTE = 1000;

/** Events of pods, as `kubectl describe pod` shows them. */
export class PodEvents {
  readonly #dependencies: PodEventsDependencies;
  #windowEnd = 0;
  #written = 0;

  constructor(dependencies: PodEventsDependencies) {
    this.#dependencies = dependencies;
  }

  /** @returns whether it was written: there may have been too many of late. @throws KubeError */
  async write(pod: PodReference, reason: string, note: string, signal: AbortSignal): Promise<boolean> {
    if (!this.#mayWrite()) return false;
    const { client, node, timers, random } = this.#dependencies;
    const now = timers.now();
    const suffix = `${now.toString(16)}${Math.floor(random() * 0xffff_ffff).toString(16)}`;
    await client.send({
      method: 'POST',
      path: `/apis/events.k8s.io/v1/namespaces/${pod.namespace}/events`,
      body: {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { name: `${pod.name.slice(0, 220)}.${suffix}`, namespace: pod.namespace },
        // The API wants microseconds.
        eventTime: new Date(now).toISOString().replace('Z', '000Z'),
        reportingController: 'ambit.dev/agent',
        reportingInstance: node.slice(0, 128),
        action: 'Enrol',
        reason,
        regarding: { apiVersion: 'v1', kind: 'Pod', ...pod },
        note: note.slice(0, LONGEST_NOTE),
        type: 'Warning',
      },
      signal,
    });
    return true;
  }

  #mayWrite(): boolean {
    const now = this.#dependencies.timers.now();
    if (now >= this.#windowEnd) {
      this.#windowEnd = now + WINDOW_MS;
      this.#written = 0;
    }
    return this.#written++ < MOST_IN_WINDOW;
  }
}
