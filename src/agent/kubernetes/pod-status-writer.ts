import type { PodDocument } from '../../config/manifests/schemas/pod.ts';
import { podUid } from '../../derive/pod-uid.ts';
import { redirectionAnnotation } from '../../derive/tunnel.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import { isConflict, isNotFound } from '../../kube/kube-error.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { AgentMetrics } from '../../telemetry/metrics.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import type { PodStatus } from '../enrolment.ts';
import type { PodEvents } from './pod-events.ts';

export interface PodStatusWriterDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  readonly events: PodEvents;
  /** Of this node, as the API server has them. */
  readonly pods: () => Iterable<PodDocument>;
  readonly podOf: (uid: string) => PodDocument | null;
  /** What the engine has; null: nothing. */
  readonly status: (uid: string) => PodStatus | null;
  /** Why the pod's network namespace is not taken; null: nothing is wrong with it. */
  readonly refusal: (uid: string) => string | null;
  /** UIDs of pods that ran outside the mesh although they belong to it, before this agent came. */
  readonly startedOutside: ReadonlySet<string>;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'podStatusWrites'>;
}

export type Redirection =
  | { readonly kind: 'enabled' }
  | { readonly kind: 'pending'; readonly reason: string }
  | { readonly kind: 'absent' }
  /** It is on its way: what the annotation says stays until that is over. */
  | { readonly kind: 'unsettled' };

const AT_ONCE = 4;
const STARTED_OUTSIDE =
  'it joins by a label of its own and started while no agent was there, so outside the mesh; connections from before are not protected: restart it if it has any';

/** Writes to each pod of this node whether it is in the mesh. */
export class PodStatusWriter {
  readonly #dependencies: PodStatusWriterDependencies;
  readonly #queue: WorkQueue;
  /** Pods with an Event for the trouble that they are in. */
  readonly #told = new Set<string>();
  readonly #startedOutside: Set<string>;
  /** What was written to which version of a pod: until the API server tells of it, nothing more is to be written. */
  readonly #sent = new Map<string, { readonly pod: PodDocument; readonly value: string | null }>();

  constructor(dependencies: PodStatusWriterDependencies) {
    this.#dependencies = dependencies;
    this.#startedOutside = new Set(dependencies.startedOutside);
    const { timers, random, logger, metrics } = dependencies;
    this.#queue = new WorkQueue({
      work: (uid, signal) => this.#write(uid, signal),
      concurrency: AT_ONCE,
      timers,
      random,
      onFailure: (uid, error, failures) => {
        metrics.podStatusWrites.inc({ result: 'failed' });
        const fields = { ...errorFields(error), uid, failures };
        if (failures === 1) logger.warn(fields, 'the annotation of a pod could not be written; tried again');
        else logger.debug(fields, 'the annotation of a pod still could not be written');
      },
    });
  }

  /** To be called when pods or what the engine has of them may have changed, and not before the engine was told of all. */
  reconcile(): void {
    const present = new Set<string>();
    for (const pod of this.#dependencies.pods()) {
      const uid = podUid(pod);
      present.add(uid);
      if (this.#isDue(pod, uid)) this.#queue.add(uid);
    }
    for (const known of [this.#told, this.#sent, this.#startedOutside]) {
      for (const uid of [...known.keys()]) if (!present.has(uid)) known.delete(uid);
    }
  }

  /** Every pod has been told what is. */
  get isDone(): boolean {
    return [...this.#dependencies.pods()].every((pod) => !this.#isDue(pod, podUid(pod)));
  }

  async stop(): Promise<void> {
    await this.#queue.stop();
  }

  #isDue(pod: PodDocument, uid: string): boolean {
    const redirection = this.#redirection(uid);
    if (redirection.kind === 'unsettled') return false;
    if (redirection.kind !== 'pending') this.#told.delete(uid);
    const untold = redirection.kind === 'pending' ? !this.#told.has(uid) : this.#startedOutside.has(uid);
    return this.#differs(pod, uid, redirection) || (redirection.kind !== 'absent' && untold);
  }

  #differs(pod: PodDocument, uid: string, redirection: Redirection): boolean {
    return valueOf(redirection) !== this.#valueOn(pod, uid);
  }

  #valueOn(pod: PodDocument, uid: string): string | null {
    const sent = this.#sent.get(uid);
    return sent?.pod === pod ? sent.value : written(pod);
  }

  #redirection(uid: string): Redirection {
    return redirectionOf(this.#dependencies.status(uid), this.#dependencies.refusal(uid));
  }

  async #write(uid: string, signal: AbortSignal): Promise<void> {
    const pod = this.#dependencies.podOf(uid);
    if (pod === null) return;
    const redirection = this.#redirection(uid);
    if (redirection.kind === 'unsettled') return;
    if (this.#differs(pod, uid, redirection)) await this.#annotate(pod, uid, valueOf(redirection), signal);
    if (redirection.kind === 'pending' && !this.#told.has(uid)) {
      this.#told.add(uid);
      await this.#tell(pod, uid, 'RedirectionPending', redirection.reason, signal);
    }
    if (redirection.kind === 'enabled' && this.#startedOutside.delete(uid)) {
      await this.#tell(pod, uid, 'StartedOutsideMesh', STARTED_OUTSIDE, signal);
    }
  }

  async #tell(
    { metadata: { namespace, name } }: PodDocument,
    uid: string,
    reason: string,
    note: string,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#dependencies.events.write({ namespace, name, uid }, reason, note, signal);
  }

  /** The UID in the patch keeps it from another pod that has taken the name meanwhile. */
  async #annotate(pod: PodDocument, uid: string, value: string | null, signal: AbortSignal): Promise<void> {
    const { namespace, name } = pod.metadata;
    try {
      await this.#dependencies.client.send({
        method: 'PATCH',
        path: `/api/v1/namespaces/${namespace}/pods/${name}/status`,
        contentType: 'application/merge-patch+json',
        body: { metadata: { uid, annotations: { [redirectionAnnotation]: value } } },
        signal,
      });
      this.#sent.set(uid, { pod, value });
      this.#dependencies.metrics.podStatusWrites.inc({ result: 'written' });
    } catch (error) {
      // Gone meanwhile, or another pod by now.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

/** @param refusal why the network namespace that was found is not taken */
export function redirectionOf(status: PodStatus | null, refusal: string | null): Redirection {
  if (status === null) return { kind: 'absent' };
  if (!status.wanted) return status.enrolled || status.captured ? { kind: 'unsettled' } : { kind: 'absent' };
  if (status.enrolled && refusal === null) return { kind: 'enabled' };
  const reason = refusal ?? status.lastError;
  return reason === null ? { kind: 'unsettled' } : { kind: 'pending', reason };
}

function valueOf({ kind }: Redirection): string | null {
  return kind === 'enabled' || kind === 'pending' ? kind : null;
}

function written({ metadata }: PodDocument): string | null {
  return metadata.annotations[redirectionAnnotation] ?? null;
}
