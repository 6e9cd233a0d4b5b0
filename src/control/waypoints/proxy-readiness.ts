import type { PodDocument } from '../../config/manifests/schemas/pod.ts';
import type { DocumentChange, DocumentChanges, MeshInput } from '../../config/mesh-input.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { Timers } from '../../timing/timers.ts';
import type { Presence, ProxyEvent } from '../presence.ts';

/** How long a proxy whose stream we have ended is taken to be there still. Milliseconds. */
const returnTime = 5_000;

/** A pod whose proxy has been here. */
interface Attended {
  readonly uid: string;
  /** Streams on which it has taken its configuration. */
  streams: number;
}

/**
 * Documents of a mesh whose pods nobody probes. The pod of a waypoint whose proxy has been here and is gone is not ready, until it is
 * back, so that clients go to other replicas. Not so where the agent of its node is gone, too: then it is the way to them that
 * is broken, and not the proxy.
 */
export class ProxyReadiness implements MeshInput, Presence {
  readonly #input: MeshInput;
  readonly #timers: Pick<Timers, 'after'>;
  /** As the documents have them, by `namespace/name`. */
  readonly #pods = new Map<string, PodDocument>();
  readonly #attended = new Map<string, Attended>();
  readonly #agents = new Map<string, number>();
  readonly #withdrawn = new Set<string>();
  #deliver: (changes: DocumentChanges) => void = () => undefined;

  constructor(input: MeshInput, timers: Pick<Timers, 'after'>) {
    this.#input = input;
    this.#timers = timers;
  }

  async start(deliver: (changes: DocumentChanges) => void, signal: AbortSignal): Promise<DocumentChanges> {
    this.#deliver = deliver;
    const first = await this.#input.start((changes) => {
      deliver(this.#seen(changes));
    }, signal);
    return this.#seen(first);
  }

  agent(node: string, connected: boolean): void {
    const count = (this.#agents.get(node) ?? 0) + (connected ? 1 : -1);
    if (count > 0) this.#agents.set(node, count);
    else this.#agents.delete(node);
    this.#review();
  }

  proxy(pod: string, identity: SpiffeId, event: ProxyEvent): void {
    const document = this.#pods.get(pod);
    // What it says of itself counts only for pods of the identity that it has shown.
    if (document === undefined || !isOf(document, identity)) return;
    const uid = document.metadata.uid ?? '';
    if (event === 'ready') this.#count(pod, uid, 1);
    else if (event === 'gone') this.#count(pod, uid, -1);
    else
      this.#timers.after(returnTime, () => {
        this.#count(pod, uid, -1);
      });
  }

  #count(pod: string, uid: string, change: 1 | -1): void {
    const known = this.#attended.get(pod);
    const attended = known?.uid === uid ? known : { uid, streams: 0 };
    attended.streams = Math.max(0, attended.streams + change);
    if (change > 0 || attended === known) this.#attended.set(pod, attended);
    this.#review();
  }

  #seen(changes: DocumentChanges): DocumentChanges {
    return changes.map((change) => (change.kind === 'Pod' ? this.#seenPod(change) : change));
  }

  #seenPod(change: Extract<DocumentChange, { kind: 'Pod' }>): DocumentChange {
    const { key, document } = change;
    if (document === null) this.#pods.delete(key);
    else this.#pods.set(key, document);
    // Another pod of the same name has a proxy of its own.
    if (document === null || this.#attended.get(key)?.uid !== (document.metadata.uid ?? '')) {
      this.#attended.delete(key);
      this.#withdrawn.delete(key);
    }
    return document !== null && this.#withdrawn.has(key) ? { ...change, document: unready(document) } : change;
  }

  #review(): void {
    const changes = [...this.#attended].flatMap(([pod, { streams }]): DocumentChange[] => {
      const document = this.#pods.get(pod);
      const isDown = document !== undefined && streams === 0 && this.#agents.has(document.spec.nodeName ?? '');
      if (document === undefined || isDown === this.#withdrawn.has(pod)) return [];
      if (isDown) this.#withdrawn.add(pod);
      else this.#withdrawn.delete(pod);
      return [{ kind: 'Pod', key: pod, document: isDown ? unready(document) : document }];
    });
    if (changes.length > 0) this.#deliver(changes);
  }
}

function isOf({ metadata, spec }: PodDocument, { namespace, serviceAccount }: SpiffeId): boolean {
  return metadata.namespace === namespace && spec.serviceAccountName === serviceAccount;
}

function unready(document: PodDocument): PodDocument {
  const others = document.status.conditions.filter(({ type }) => type !== 'Ready');
  return { ...document, status: { ...document.status, conditions: [...others, { type: 'Ready', status: 'False' }] } };
}
