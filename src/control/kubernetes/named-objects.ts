import { setMaxListeners } from 'node:events';
import type { UnreadableObject } from '../../config/manifests/resources.ts';
import type { DocumentChange, DocumentChanges, MeshInput } from '../../config/mesh-input.ts';
import type { WatchingClient } from '../../kube/kube-client.ts';
import type { ReflectorObserver } from '../../kube/reflector.ts';
import { linkedController, pause } from '../../timing/pause.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { NamedObject } from './named-object.ts';
import type { NamedReference } from '../named-reference.ts';
import { withinBounds } from './object-quota.ts';
import type { Bounds } from './object-quota.ts';
import type { ObjectReference } from './object-reference.ts';

export interface NamedObjectsDependencies {
  /** All other documents. */
  readonly input: MeshInput;
  readonly client: WatchingClient;
  readonly timers: Timers;
  readonly random: Random;
  readonly observe: (plural: string) => ReflectorObserver;
  /** Where whoever is to let the control plane read an object finds its account. */
  readonly controlNamespace: string;
  readonly bounds?: Bounds;
}

/** Each is a connection to the API server, so no namespace may have all of them. */
const usual: Bounds = { inAll: 2000, ofNamespace: 500 };
/** How many are asked for at once: of those that come together at a start, each is a handshake. */
const STARTING = 16;

/**
 * Documents that may only be read one by one, beside all others: Secrets and ConfigMaps that others name. Nothing is listed but by its name,
 * nothing is held that nobody names, and what cannot be read is told as a document of kind `UnreadableObject`, by the same reference.
 */
export class NamedObjects implements MeshInput {
  readonly #dependencies: NamedObjectsDependencies;
  /** By reference. */
  readonly #followed = new Map<string, Followed>();
  readonly #waiting = new Set<string>();
  readonly #starting = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  #beyond: ReadonlySet<string> = new Set();
  #wanted: readonly NamedReference[] = [];
  #site: Site | null = null;

  constructor(dependencies: NamedObjectsDependencies) {
    this.#dependencies = dependencies;
  }

  async start(deliver: (changes: DocumentChanges) => void, signal: AbortSignal): Promise<DocumentChanges> {
    const first = await this.#dependencies.input.start(deliver, signal);
    this.#site = { deliver, signal };
    // Each object that is followed listens, and Node takes more than ten for a leak.
    setMaxListeners(0, signal);
    this.#review();
    return first;
  }

  /** How many are followed. */
  get size(): number {
    return this.#followed.size;
  }

  /** From now on these are followed, and no others. */
  follow(references: readonly NamedReference[]): void {
    this.#wanted = references;
    this.#review();
  }

  /**
   * Resolves when something is known of each that is followed now, or after so long: whoever begins to serve knows then what is there.
   *
   * @param limit milliseconds
   */
  async answered(limit: number, signal: AbortSignal): Promise<void> {
    const { controller, release } = linkedController(signal);
    const waited = pause(limit, this.#dependencies.timers, controller.signal);
    const all = Promise.all([...this.#followed.values()].map(({ object }) => object.answered));
    await Promise.race([all, waited]);
    controller.abort();
    release();
  }

  /** Resolves when nothing is asked of the API server any more; after the signal given to `start`. */
  async stopped(): Promise<void> {
    await Promise.all(this.#running);
  }

  #review(): void {
    const { bounds = usual } = this.#dependencies;
    if (this.#site === null || this.#site.signal.aborted) return;
    const { within, beyond } = withinBounds(this.#wanted, bounds);
    const { deliver } = this.#site;
    const changes = [...this.#followed].flatMap(([text, { stop, release, object }]): DocumentChanges => {
      if (within.has(text)) return [];
      stop.abort();
      release();
      this.#followed.delete(text);
      this.#waiting.delete(text);
      this.#started(text);
      return object.forget();
    });
    const told = [...changes, ...this.#tellBeyond(beyond, bounds)];
    if (told.length > 0) deliver(told);
    for (const [text, reference] of within) if (!this.#followed.has(text)) this.#add(text, reference, this.#site);
    this.#startWaiting();
  }

  #tellBeyond(beyond: ReadonlySet<string>, { inAll, ofNamespace }: Bounds): DocumentChanges {
    const message = `the control plane follows ${inAll} Secrets and as many ConfigMaps at most, ${ofNamespace} that documents of one namespace name: this one is not read`;
    const former = this.#beyond;
    this.#beyond = beyond;
    const tell = (key: string, document: UnreadableObject | null): DocumentChange => ({
      kind: 'UnreadableObject',
      key,
      document,
    });
    return [
      ...[...former].filter((key) => !beyond.has(key)).map((key) => tell(key, null)),
      ...[...beyond].filter((key) => !former.has(key)).map((key) => tell(key, { reason: 'TooMany', message })),
    ];
  }

  #add(text: string, reference: ObjectReference, { deliver, signal }: Site): void {
    const { controller: stop, release } = linkedController(signal);
    const object = new NamedObject({
      ...this.#dependencies,
      reference,
      deliver: (changes) => {
        if (!stop.signal.aborted) deliver(changes);
      },
      onAsked: () => {
        this.#started(text);
        this.#startWaiting();
      },
    });
    this.#followed.set(text, { object, stop, release });
    this.#waiting.add(text);
  }

  #startWaiting(): void {
    for (const text of this.#waiting) {
      if (this.#starting.size >= STARTING) return;
      this.#waiting.delete(text);
      const followed = this.#followed.get(text);
      if (followed === undefined) continue;
      this.#starting.add(text);
      const running = followed.object.run(followed.stop.signal).finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  #started(text: string): void {
    this.#starting.delete(text);
  }
}

interface Site {
  readonly deliver: (changes: DocumentChanges) => void;
  readonly signal: AbortSignal;
}

interface Followed {
  readonly object: NamedObject;
  readonly stop: AbortController;
  /** To be called at its end. */
  readonly release: () => void;
}
