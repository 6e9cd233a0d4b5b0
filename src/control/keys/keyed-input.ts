import type { DocumentChange, DocumentChanges, MeshInput } from '../../config/mesh-input.ts';
import { meshSettingsSpec } from '../../config/manifests/schemas/mesh-settings.ts';
import { keySourceText } from '../../envoy/security/context.ts';
import type { KeySource } from '../../envoy/security/context.ts';
import { keySources } from '../../envoy/security/request-authentication.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { backOffDelay } from '../../timing/back-off.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { AllowedSources } from './allowed-sources.ts';

/** As often as Istio asks anew. */
const refreshInterval = 20 * 60_000;
const retry = { first: 5_000, longest: 5 * 60_000, jitter: 0.2 };
/** Each manifest may name some, and everybody may write manifests. */
const maximumSources = 1_000;

export type FetchKeys = (source: KeySource, allowed: AllowedSources, signal: AbortSignal) => Promise<string>;

export interface KeyedInputDependencies {
  readonly input: MeshInput;
  readonly fetch: FetchKeys;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

interface Watched {
  readonly source: KeySource;
  readonly stop: AbortController;
}

/**
 * The documents of a mesh, and beside them the keys that RequestAuthentications name by address. Keys are asked for anew from time to
 * time; those that were got last stay while that fails, and go with the last manifest that names them.
 */
export class KeyedInput implements MeshInput {
  readonly #dependencies: KeyedInputDependencies;
  /** By the manifest's key. */
  readonly #wanted = new Map<string, readonly KeySource[]>();
  readonly #watched = new Map<string, Watched>();
  #allowed = new AllowedSources(meshSettingsSpec.parse({}).jwksSources);
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
    const concerning = changes.filter(({ kind }) => kind === 'RequestAuthentication' || kind === 'MeshSettings');
    if (concerning.length === 0) return;
    for (const change of concerning) this.#note(change);
    const sources = new Map([...this.#wanted.values()].flat().map((source) => [keySourceText(source), source]));
    for (const [key, { stop }] of this.#watched) {
      if (!sources.has(key)) this.#forget(key, stop);
    }
    for (const [key, source] of sources) {
      if (!this.#watched.has(key) && this.#watched.size < maximumSources) this.#watch(key, source, signal);
    }
  }

  #note(change: DocumentChange): void {
    if (change.kind === 'RequestAuthentication') {
      if (change.document === null) this.#wanted.delete(change.key);
      else this.#wanted.set(change.key, keySources(change.document));
    } else if (change.kind === 'MeshSettings') {
      const { jwksSources } = change.document?.spec ?? meshSettingsSpec.parse({});
      this.#allowed = new AllowedSources(jwksSources);
      // What may be asked has changed: all of it is asked anew, and what may not be any more is forgotten.
      for (const [key, { stop }] of this.#watched) this.#forget(key, stop);
    }
  }

  #forget(key: string, stop: AbortController): void {
    stop.abort();
    this.#watched.delete(key);
    this.#deliver([{ kind: 'FetchedKeys', key, document: null }]);
  }

  #watch(key: string, source: KeySource, signal: AbortSignal): void {
    const stop = new AbortController();
    this.#watched.set(key, { source, stop });
    void this.#ask(key, source, AbortSignal.any([signal, stop.signal]), 0);
  }

  async #ask(key: string, source: KeySource, signal: AbortSignal, failures: number): Promise<void> {
    const { fetch, timers, random, logger } = this.#dependencies;
    let failed = 0;
    try {
      const keys = await fetch(source, this.#allowed, signal);
      if (signal.aborted) return;
      this.#deliver([{ kind: 'FetchedKeys', key, document: { keys } }]);
    } catch (error) {
      if (signal.aborted) return;
      failed = failures + 1;
      logger.warn({ source: source.url, ...errorFields(error) }, 'keys of tokens could not be fetched');
    }
    const wait = failed === 0 ? refreshInterval : backOffDelay(failed, retry, random);
    const cancel = timers.after(wait, () => {
      signal.removeEventListener('abort', cancel);
      void this.#ask(key, source, signal, failed);
    });
    signal.addEventListener('abort', cancel, { once: true });
  }
}
