import { isDeepStrictEqual } from 'node:util';
import type { DocumentChange, DocumentChanges, MeshInput } from '../../config/mesh-input.ts';
import { meshSettingsSpec } from '../../config/manifests/schemas/mesh-settings.ts';
import type { KeySource } from '../../envoy/security/context.ts';
import { keySources } from '../../envoy/security/request-authentication.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { backOffDelay } from '../../timing/back-off.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { AllowedSources } from './allowed-sources.ts';
import { FetchTurns } from './fetch-turns.ts';
import { withinQuota } from './key-quota.ts';
import type { WantedSource } from './key-quota.ts';

/** As often as Istio asks anew. */
const refreshInterval = 20 * 60_000;
const retry = { first: 5_000, longest: 5 * 60_000, jitter: 0.2 };
const mostFetches = 8;
const mostOfNamespace = 2;

export type FetchKeys = (source: KeySource, allowed: AllowedSources, signal: AbortSignal) => Promise<string>;

export interface KeyedInputDependencies {
  readonly input: MeshInput;
  readonly fetch: FetchKeys;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

interface Watched extends WantedSource {
  readonly stop: AbortController;
}

/** How asking has gone so far. */
interface Progress {
  readonly failures: number;
  /** Nobody knows whether it may be asked still. */
  readonly unproven: boolean;
}

/**
 * The documents of a mesh, and beside them the keys that RequestAuthentications name by address. Keys are asked for anew from time to
 * time; those that were got last stay while that fails, and go with the last manifest that names them.
 */
export class KeyedInput implements MeshInput {
  readonly #dependencies: KeyedInputDependencies;
  readonly #turns = new FetchTurns(mostFetches, mostOfNamespace);
  /** By the manifest's key. */
  readonly #wishes = new Map<string, readonly KeySource[]>();
  readonly #watched = new Map<string, Watched>();
  #refused: ReadonlyMap<string, string> = new Map();
  #sources: readonly string[] = meshSettingsSpec.parse({}).jwksSources;
  #allowed = new AllowedSources(this.#sources);
  #deliver: (changes: DocumentChanges) => void = () => undefined;

  constructor(dependencies: KeyedInputDependencies) {
    this.#dependencies = dependencies;
  }

  async start(deliver: (changes: DocumentChanges) => void, signal: AbortSignal): Promise<DocumentChanges> {
    this.#deliver = deliver;
    const first = await this.#dependencies.input.start((changes) => {
      deliver(changes);
      this.#follow(changes, signal);
    }, signal);
    this.#follow(first, signal);
    return first;
  }

  #follow(changes: DocumentChanges, signal: AbortSignal): void {
    const former = this.#sources;
    const concerning = changes.filter(({ kind }) => kind === 'RequestAuthentication' || kind === 'MeshSettings');
    if (concerning.length === 0) return;
    for (const change of concerning) this.#note(change);
    const { wanted, refused } = withinQuota(this.#wishes, new Set(this.#watched.keys()));
    for (const [key, { stop }] of this.#watched) if (!wanted.has(key)) this.#forget(key, stop);
    if (!isDeepStrictEqual(former, this.#sources)) this.#askAnew(signal);
    for (const [key, source] of wanted) if (!this.#watched.has(key)) this.#watch(key, source, false, signal);
    this.#refuse(refused);
  }

  #note(change: DocumentChange): void {
    if (change.kind === 'RequestAuthentication') {
      if (change.document === null) this.#wishes.delete(change.key);
      else this.#wishes.set(change.key, keySources(change.document));
    } else if (change.kind === 'MeshSettings') {
      this.#sources = (change.document?.spec ?? meshSettingsSpec.parse({})).jwksSources;
    }
  }

  /** Keys from where they may not be had any more go with the first answer, or as soon as there is none. */
  #askAnew(signal: AbortSignal): void {
    this.#allowed = new AllowedSources(this.#sources);
    for (const [key, watched] of this.#watched) {
      watched.stop.abort();
      this.#watch(key, watched, true, signal);
    }
  }

  #refuse(refused: ReadonlyMap<string, string>): void {
    for (const key of this.#refused.keys()) {
      if (!refused.has(key) && !this.#watched.has(key)) this.#tell(key, null);
    }
    for (const [key, why] of refused) if (this.#refused.get(key) !== why) this.#tell(key, { refused: why });
    this.#refused = refused;
  }

  #forget(key: string, stop: AbortController): void {
    stop.abort();
    this.#watched.delete(key);
    this.#tell(key, null);
  }

  #tell(key: string, document: Extract<DocumentChange, { kind: 'FetchedKeys' }>['document']): void {
    this.#deliver([{ kind: 'FetchedKeys', key, document }]);
  }

  #watch(key: string, { source, namespace }: WantedSource, unproven: boolean, signal: AbortSignal): void {
    const watched = { source, namespace, stop: new AbortController() };
    this.#watched.set(key, watched);
    void this.#ask(key, watched, { failures: 0, unproven }, AbortSignal.any([signal, watched.stop.signal]));
  }

  async #ask(key: string, watched: WantedSource, progress: Progress, signal: AbortSignal): Promise<void> {
    const { fetch, timers, random, logger } = this.#dependencies;
    const { source, namespace } = watched;
    let failures = 0;
    try {
      const keys = await this.#turns.run(namespace, signal, () => fetch(source, this.#allowed, signal));
      if (signal.aborted) return;
      this.#tell(key, { keys });
    } catch (error) {
      if (signal.aborted) return;
      failures = progress.failures + 1;
      logger.warn({ source: source.url, ...errorFields(error) }, 'keys of tokens could not be fetched');
      if (progress.unproven) this.#tell(key, null);
    }
    const wait = failures === 0 ? refreshInterval : backOffDelay(failures, retry, random);
    const cancel = timers.after(wait, () => {
      signal.removeEventListener('abort', cancel);
      void this.#ask(key, watched, { failures, unproven: false }, signal);
    });
    signal.addEventListener('abort', cancel, { once: true });
  }
}
