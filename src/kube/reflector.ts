import type { IncomingMessage } from 'node:http';
import { backOffDelay } from '../timing/back-off.ts';
import { linkedController, pause } from '../timing/pause.ts';
import { Slices } from '../timing/slices.ts';
import type { Random, Timers } from '../timing/timers.ts';
import type { Query, WatchingClient } from './kube-client.ts';
import { isExpired, isNotFound, isStatusObject, KubeError } from './kube-error.ts';
import { linesOf } from './lines.ts';
import { isKubeList, isKubeObject, objectKey } from './objects.ts';
import type { KubeObject } from './objects.ts';

/** One object that is other than before. Both are set where it changed; another UID at a key is a removal and an addition. */
export interface ObjectChange<T> {
  readonly key: string;
  readonly before: T | null;
  readonly after: T | null;
}

export type ReflectorState = 'listing' | 'watching' | 'backoff' | 'absent' | 'stopped';

/** What happens, for logs and metrics. */
export interface ReflectorObserver {
  /** A whole list has come. */
  listed(objects: number, pages: number): void;
  watchOpened(): void;
  /** Each event of a watch, bookmarks too. */
  event(type: string): void;
  /** `repeated` is how many have failed in a row, this one included. */
  failed(error: unknown, repeated: number): void;
  /** After failures: the API server answers again. */
  recovered(): void;
  /** A listener has thrown; the others were told all the same. */
  listenerFailed(error: unknown): void;
}

export interface ReflectorOptions<T> {
  readonly client: WatchingClient;
  /** `/api/v1/pods`, `/apis/GROUP/VERSION/PLURAL`, or with a namespace in it. */
  readonly path: string;
  /** The same objects in other versions of the API, of which one is asked for where the path is not there; for kinds that may be absent. */
  readonly otherPaths?: readonly string[];
  readonly selectors?: { readonly fieldSelector?: string; readonly labelSelector?: string };
  /**
   * What of an object is kept; null: it is left out. `former` is what was kept of the same object before. What throws counts as
   * null, and is told.
   */
  readonly read: (object: KubeObject, former: T | null) => T | null;
  /** Names, labels and annotations are all that is asked for. */
  readonly metadataOnly?: boolean;
  /** The kind may not exist, as a CRD that nobody installed: nothing of it is there then, and it is asked for now and then. */
  readonly mayBeAbsent?: boolean;
  readonly timers: Timers;
  readonly random: Random;
  readonly observer: ReflectorObserver;
}

export type Listener<T> = (changes: readonly ObjectChange<T>[]) => void;

interface Held<T> {
  readonly uid: string;
  readonly version: string;
  readonly value: T | null;
}

const PAGE = 500;
const RETRY = { first: 800, longest: 30_000, jitter: 0.2 };
/** What a server may ask for at most: one that says an hour must not leave the mesh an hour behind. */
const LONGEST_RETRY_AFTER_MS = 120_000;
/** Ours to choose, and different each time, so that a restarted API server is not asked by all at once. Seconds. */
const WATCH_SECONDS = { least: 290, most: 590 };
/** A watch that is open for longer than it was asked to has lost its other end. */
const OVERTIME_MS = 15_000;
/** What ended sooner than this after it opened, and told nothing, counts as failed: else it would be asked for without pause. */
const SHORTEST_WATCH_MS = 1000;
/** Compares with a whole list now and then, in case that an event was lost. */
const RELIST = { first: 600_000, longest: 600_000, jitter: 0.2 };
const LOOK_FOR_ABSENT = { first: 30_000, longest: 30_000, jitter: 0.2 };
/** etcd holds objects of at most 1.5 MiB; JSON makes them longer. */
const LONGEST_LINE = 16 * 1024 * 1024;

/**
 * Follows one kind of object: lists it, then watches it, and goes on for as long as the signal allows, whatever fails. The
 * last known objects stay while the API server is away.
 */
export class Reflector<T> {
  readonly #options: ReflectorOptions<T>;
  readonly #listeners: Listener<T>[] = [];
  readonly #objects = new Map<string, Held<T>>();
  /** Resolves when everything that was there at first has been told to the listeners. */
  readonly synced: Promise<void>;
  #announceSynced: () => void = () => undefined;
  #state: ReflectorState = 'listing';
  #version: string | null = null;
  #relistAt = 0;
  #failures = 0;
  /** Those that lengthen the next pause: from one again after the API server was away. */
  #backOffs = 0;
  #triedAt = 0;
  #path: string;
  /** How many of its paths, one after the other, were not there. */
  #absences = 0;
  /** A list by pages expired under way: the next one comes in one piece. */
  #unpaged = false;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#path = options.path;
    this.synced = new Promise((resolve) => (this.#announceSynced = resolve));
  }

  get state(): ReflectorState {
    return this.#state;
  }

  /** The one of its paths at which objects are found, or looked for. */
  get path(): string {
    return this.#path;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | null {
    return this.#objects.get(key)?.value ?? null;
  }

  /** Of the objects that are kept. */
  keys(): readonly string[] {
    return [...this.#objects].flatMap(([key, { value }]) => (value === null ? [] : [key]));
  }

  /** Tells of what is known already, then of each change, batch by batch. Call before `run` to miss nothing. */
  listen(listener: Listener<T>): void {
    this.#listeners.push(listener);
    const known = [...this.#objects].flatMap(([key, { value }]) =>
      value === null ? [] : [{ key, before: null, after: value }],
    );
    if (known.length > 0) this.#tellOne(listener, known);
  }

  /** Resolves after the signal; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#triedAt = this.#options.timers.now();
      try {
        if (this.#version === null || this.#options.timers.now() >= this.#relistAt) await this.#list(signal);
        if (this.#version !== null) await this.#watch(this.#version, signal);
      } catch (error) {
        await this.#onFailure(error, signal);
      }
    }
    this.#state = 'stopped';
  }

  async #onFailure(error: unknown, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { observer, client, random } = this.#options;
    if (isExpired(error)) {
      this.#unpaged = this.#version === null;
      this.#version = null;
    }
    if (isNotFound(error) && this.#options.mayBeAbsent === true) {
      this.#version = null;
      return this.#turnToNextPath() ? undefined : this.#onAbsent(signal);
    }
    this.#state = 'backoff';
    this.#failures++;
    observer.failed(error, this.#failures);
    const delay = backOffDelay(++this.#backOffs, RETRY, random);
    if (error instanceof KubeError && error.retryAfter !== null)
      return this.#waitAsTold(error.retryAfter, delay, signal);
    const isBack = await client.recovery.pause(delay, this.#triedAt, random, signal);
    if (isBack) this.#backOffs = 0;
  }

  async #waitAsTold(wanted: number, delay: number, signal: AbortSignal): Promise<void> {
    await pause(Math.max(Math.min(wanted, LONGEST_RETRY_AFTER_MS), delay), this.#options.timers, signal);
  }

  /** False where none is left that was not tried since objects were found. */
  #turnToNextPath(): boolean {
    const { path, otherPaths = [] } = this.#options;
    const paths = [path, ...otherPaths];
    this.#path = paths[(paths.indexOf(this.#path) + 1) % paths.length] ?? path;
    this.#absences = (this.#absences + 1) % paths.length;
    return this.#absences !== 0;
  }

  async #onAbsent(signal: AbortSignal): Promise<void> {
    this.#recovered();
    await this.#replace([]);
    this.#announceSynced();
    this.#state = 'absent';
    const { timers, random } = this.#options;
    await pause(backOffDelay(1, LOOK_FOR_ABSENT, random), timers, signal);
  }

  async #list(signal: AbortSignal): Promise<void> {
    this.#state = 'listing';
    const { observer, timers, random } = this.#options;
    const pages: (readonly unknown[])[] = [];
    let version = '';
    let next: string | null = null;
    do {
      const page = await this.#page(next, signal);
      pages.push(page.items ?? []);
      version = page.metadata.resourceVersion ?? version;
      next = page.metadata.continue ?? '';
    } while (next !== '');
    await this.#replace(pages.flat());
    this.#version = version;
    this.#absences = 0;
    this.#unpaged = false;
    this.#relistAt = timers.now() + backOffDelay(1, RELIST, random);
    observer.listed(this.#objects.size, pages.length);
    this.#recovered();
    this.#announceSynced();
  }

  async #page(next: string | null, signal: AbortSignal) {
    const { client, selectors = {} } = this.#options;
    const path = this.#path;
    const query: Query = { ...selectors, limit: this.#unpaged ? null : PAGE, continue: next };
    const accept = this.#accept('PartialObjectMetadataList');
    const list = await client.send({ method: 'GET', path, query, signal, ...accept });
    if (!isKubeList(list)) throw new KubeError(`GET ${path}: the answer is no list`, { status: null });
    return list;
  }

  #accept(kind: string): { readonly accept?: string } {
    return this.#options.metadataOnly === true ? { accept: `application/json;as=${kind};g=meta.k8s.io;v=v1` } : {};
  }

  /** Tells the difference between what is held and what is there now, as one batch. */
  async #replace(items: readonly unknown[]): Promise<void> {
    const slices = new Slices();
    const changes: ObjectChange<T>[] = [];
    const present = new Set<string>();
    for (const item of items) {
      if (isKubeObject(item)) {
        present.add(objectKey(item.metadata));
        this.#take(item, changes);
      }
      if (slices.exhausted) await slices.pause();
    }
    for (const key of [...this.#objects.keys()]) {
      if (!present.has(key)) this.#drop(key, changes);
    }
    this.#tell(changes);
  }

  async #watch(from: string, signal: AbortSignal): Promise<void> {
    const { client, selectors = {}, timers, random, observer } = this.#options;
    const path = this.#path;
    const seconds = Math.round(WATCH_SECONDS.least + (WATCH_SECONDS.most - WATCH_SECONDS.least) * random());
    const query: Query = {
      ...selectors,
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: from,
      timeoutSeconds: seconds,
    };
    const { controller, release } = linkedController(signal);
    const cancel = timers.after(seconds * 1000 + OVERTIME_MS, () => {
      controller.abort(new KubeError(`watch of ${path}: open for longer than it was asked to`, { status: null }));
    });
    try {
      const opened = timers.now();
      const answer = await client.stream({
        method: 'GET',
        path,
        query,
        signal: controller.signal,
        ...this.#accept('PartialObjectMetadata'),
      });
      this.#state = 'watching';
      observer.watchOpened();
      const events = await this.#follow(answer);
      if (events === 0 && timers.now() - opened < SHORTEST_WATCH_MS)
        throw new KubeError(`watch of ${path}: ended at once`, { status: null });
    } catch (error) {
      // What reading says of an abort is only that there was one.
      throw controller.signal.aborted ? controller.signal.reason : error;
    } finally {
      cancel();
      release();
    }
  }

  /** @returns how many events have come */
  async #follow(answer: IncomingMessage): Promise<number> {
    let events = 0;
    try {
      for await (const line of linesOf(answer, LONGEST_LINE)) {
        if (line.trim() === '') continue;
        this.#onEvent(this.#parse(line));
        events++;
      }
    } finally {
      answer.destroy();
    }
    return events;
  }

  #parse(line: string): unknown {
    try {
      return JSON.parse(line);
    } catch {
      // Why would have a piece of the line in it, which may be of a Secret.
      throw new KubeError(`watch of ${this.#path}: an event that is not JSON`, { status: null });
    }
  }

  #onEvent(event: unknown): void {
    if (!isEvent(event)) throw new KubeError(`watch of ${this.#path}: not an event`, { status: null });
    const { type, object } = event;
    this.#options.observer.event(type);
    if (type === 'ERROR') throw errorOf(object, this.#path);
    if (!hasMetadata(object))
      throw new KubeError(`watch of ${this.#path}: an event without an object`, { status: null });
    const { resourceVersion } = object.metadata;
    const changes: ObjectChange<T>[] = [];
    // A bookmark's object has a version and nothing else.
    if (isKubeObject(object)) {
      if (type === 'DELETED') this.#drop(objectKey(object.metadata), changes);
      else if (type === 'ADDED' || type === 'MODIFIED') this.#take(object, changes);
    }
    this.#tell(changes);
    // Last: what was not taken in must come again after a reconnect.
    if (resourceVersion !== undefined && resourceVersion !== '') this.#version = resourceVersion;
    this.#recovered();
  }

  #take(object: KubeObject, changes: ObjectChange<T>[]): void {
    const key = objectKey(object.metadata);
    const held = this.#objects.get(key);
    const { uid = '', resourceVersion: version = '' } = object.metadata;
    const sameObject = held?.uid === uid;
    if (sameObject && held.version === version && version !== '') return;
    if (!sameObject) this.#drop(key, changes);
    const before = sameObject ? held.value : null;
    const after = this.#read(object, before);
    this.#objects.set(key, { uid, version, value: after });
    if (before !== null || after !== null) changes.push({ key, before, after });
  }

  #drop(key: string, changes: ObjectChange<T>[]): void {
    const held = this.#objects.get(key);
    if (held === undefined) return;
    this.#objects.delete(key);
    if (held.value !== null) changes.push({ key, before: held.value, after: null });
  }

  #read(object: KubeObject, former: T | null): T | null {
    try {
      return this.#options.read(object, former);
    } catch (error) {
      this.#options.observer.listenerFailed(error);
      return null;
    }
  }

  #tell(changes: readonly ObjectChange<T>[]): void {
    if (changes.length === 0) return;
    for (const listener of this.#listeners) this.#tellOne(listener, changes);
  }

  #tellOne(listener: Listener<T>, changes: readonly ObjectChange<T>[]): void {
    try {
      listener(changes);
    } catch (error) {
      this.#options.observer.listenerFailed(error);
    }
  }

  #recovered(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#backOffs = 0;
    this.#options.observer.recovered();
    this.#options.client.recovery.recovered();
  }
}

interface WatchEvent {
  readonly type: string;
  readonly object: unknown;
}

function isEvent(value: unknown): value is WatchEvent {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    typeof value.type === 'string' &&
    'object' in value
  );
}

function hasMetadata(value: unknown): value is { readonly metadata: { readonly resourceVersion?: string } } {
  if (typeof value !== 'object' || value === null || !('metadata' in value)) return false;
  return typeof value.metadata === 'object' && value.metadata !== null;
}

function errorOf(object: unknown, path: string): KubeError {
  const known = isStatusObject(object) ? object : null;
  return new KubeError(`watch of ${path}: ${known?.message ?? 'an error without a text'}`, {
    status: known?.code ?? null,
    reason: known?.reason ?? '',
  });
}
