import type { LocalPod } from '../../model/workload.ts';
import type { PodDocument } from '../../config/manifests/schemas/pod.ts';
import { mirrorOf } from '../../derive/membership.ts';
import { podUid } from '../../derive/pod-uid.ts';
import type { Timers } from '../../timing/timers.ts';
import { linkedController } from '../../timing/pause.ts';
import type { Enrolment } from '../enrolment.ts';
import type { Changes } from './changes.ts';
import type { CniAnswer, CniDeletion, CniEnrolment, CniPod, CniRequest } from './cni-protocol.ts';
import { isSameNamespace } from './host-processes.ts';
import type { NodeDocuments } from './node-documents.ts';
import type { PodPlaces, Refusal } from './pod-places.ts';

export interface CniRequestsDependencies {
  readonly documents: NodeDocuments;
  readonly places: PodPlaces;
  /** What the documents mean; null: no pod of this node that runs. */
  readonly localPod: (uid: string) => LocalPod | null;
  readonly enrolment: Pick<Enrolment, 'podStatus' | 'servedNetns'>;
  /** Pods of that namespace never join, whatever their labels say. */
  readonly isExcluded: (namespace: string) => boolean;
  /** Announces whenever one of these may give something else. */
  readonly changes: Changes;
  readonly timers: Timers;
}

/** So that the answer comes before the plugin gives up by itself. */
const MARGIN_MS = 500;
const LONGEST_LIMIT_MS = 110_000;
/** The plugin waits for a second. */
const DELETION_LIMIT_MS = 800;

/** A kubelet makes the UID of a static pod of a hash; those of the API are of another form. */
const staticUid = /^[0-9a-f]{32}$/;

/** The stages of an enrolment, for the answer when its time is over. */
type Stage = 'document' | 'decision' | 'engine';

/** Answers the CNI plugin. */
export class CniRequests {
  readonly #dependencies: CniRequestsDependencies;

  constructor(dependencies: CniRequestsDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param signal the plugin has given up */
  answer(request: CniRequest, signal: AbortSignal): Promise<CniAnswer> {
    switch (request.command) {
      case 'add':
        return this.#add(request, signal);
      case 'check':
        return Promise.resolve(this.#check(request));
      case 'delete':
        return this.#delete(request, signal);
      case 'gc':
        this.#dependencies.places.collect(request.attachments.map(attachmentOf));
        return Promise.resolve({ result: 'done' });
    }
  }

  async #add(request: CniEnrolment, signal: AbortSignal): Promise<CniAnswer> {
    const { controller, release } = linkedController(signal);
    const limit = Math.max(1, Math.min(request.limitMilliseconds, LONGEST_LIMIT_MS) - MARGIN_MS);
    const cancel = this.#dependencies.timers.after(limit, () => {
      controller.abort(new Error('time is over'));
    });
    const progress: { stage: Stage; uid: string | null } = { stage: 'document', uid: null };
    try {
      return await this.#enrol(request, progress, controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) throw error;
      const message = this.#reason(request.pod, progress);
      // The runtime takes the sandbox down and makes another one for its next try.
      this.#undo(request, progress.uid);
      return { result: 'later', message };
    } finally {
      cancel();
      release();
    }
  }

  async #enrol(
    request: CniEnrolment,
    progress: { stage: Stage; uid: string | null },
    signal: AbortSignal,
  ): Promise<CniAnswer> {
    const { documents, places, changes, localPod } = this.#dependencies;
    if (this.#neverJoins(request.pod)) return { result: 'notInMesh' };
    const document = await changes.until(() => this.#find(request.pod), signal);
    const uid = podUid(document);
    progress.uid = uid;
    progress.stage = 'decision';
    documents.tellAddresses(uid, request.addresses);
    const pod = await changes.until(() => localPod(uid), signal);
    if (!pod.wanted) return { result: 'notInMesh' };
    progress.stage = 'engine';
    const refusal = await places.told(uid, {
      ...attachmentOf(request),
      path: request.netns.path,
      identity: identityOf(request),
      addresses: request.addresses,
    });
    if (refusal !== null) return refused(refusal);
    return changes.until(() => this.#outcome(uid, request), signal);
  }

  /** null: nothing is settled yet. */
  #outcome(uid: string, request: CniEnrolment): CniAnswer | null {
    const { localPod, places } = this.#dependencies;
    if (localPod(uid)?.wanted === false) return { result: 'notInMesh' };
    if (this.#isServedAt(uid, request)) return { result: 'enrolled' };
    const refusal = places.refusal(uid);
    return refusal === null ? null : refused(refusal);
  }

  #isServedAt(uid: string, request: CniEnrolment): boolean {
    const { places, enrolment } = this.#dependencies;
    const place = places.netns(uid);
    if (place === null || !isSameNamespace(place.identity, identityOf(request))) return false;
    return enrolment.servedNetns(uid) === place.path;
  }

  /** Without asking the API, which may need this pod to be there at all. */
  #neverJoins({ namespace, uid }: CniPod): boolean {
    return this.#dependencies.isExcluded(namespace) || (uid !== null && staticUid.test(uid));
  }

  #check(request: CniEnrolment): CniAnswer {
    if (this.#neverJoins(request.pod)) return { result: 'notInMesh' };
    const document = this.#find(request.pod);
    if (document === null) return { result: 'later', message: untold };
    const uid = podUid(document);
    if (this.#dependencies.localPod(uid)?.wanted === false) return { result: 'notInMesh' };
    if (this.#isServedAt(uid, request)) return { result: 'enrolled' };
    return { result: 'later', message: this.#reason(request.pod, { stage: 'engine', uid }) };
  }

  /** Answered when the engine has let go of the pod: what is taken down before looks like tampering, and peers hear of no end. */
  async #delete(request: CniDeletion, signal: AbortSignal): Promise<CniAnswer> {
    const document = this.#find(request.pod);
    const uid = request.pod.uid ?? (document === null ? null : podUid(document));
    if (this.#undo(request, uid)) await this.#untilLeft(uid, signal);
    return { result: 'done' };
  }

  async #untilLeft(uid: string | null, signal: AbortSignal): Promise<void> {
    if (uid === null) return;
    const { changes, enrolment, timers } = this.#dependencies;
    const { controller, release } = linkedController(signal);
    const cancel = timers.after(DELETION_LIMIT_MS, () => {
      controller.abort(new Error('time is over'));
    });
    const hasLeft = (): true | null => {
      const status = enrolment.podStatus(uid);
      return status === null || !(status.enrolled || status.captured) ? true : null;
    };
    // A pod must be deletable whatever becomes of this.
    await changes.until(hasLeft, controller.signal).catch(() => undefined);
    cancel();
    release();
  }

  /** @returns whether the pod had this attachment */
  #undo(request: CniEnrolment | CniDeletion, uid: string | null): boolean {
    if (uid === null) return false;
    const { places, documents } = this.#dependencies;
    const left = places.depart(uid, attachmentOf(request));
    if (left) documents.forgetAddresses(uid);
    return left;
  }

  #find({ namespace, name, uid }: CniPod): PodDocument | null {
    const document = this.#dependencies.documents.pod(namespace, name);
    if (document === null || uid === null) return document;
    return podUid(document) === uid || mirrorOf(document) === uid ? document : null;
  }

  #reason({ namespace, name }: CniPod, { stage, uid }: { readonly stage: Stage; readonly uid: string | null }): string {
    if (stage === 'document') return untold;
    if (stage === 'decision')
      return `it is not known yet what becomes of ${namespace}/${name}; see the log of the agent`;
    const lastError = uid === null ? null : (this.#dependencies.enrolment.podStatus(uid)?.lastError ?? null);
    return lastError ?? 'the agent has not taken it in yet';
  }
}

const untold = 'the API server has not told the agent of this pod yet';

function refused({ reason, message }: Refusal): CniAnswer {
  return { result: 'refused', code: `netns.${reason}`, message };
}

function attachmentOf({ containerId, interface: name }: { readonly containerId: string; readonly interface: string }) {
  return { container: containerId, interface: name };
}

function identityOf({ netns }: CniEnrolment): { readonly device: bigint; readonly inode: bigint } {
  return { device: BigInt(netns.device), inode: BigInt(netns.inode) };
}
