import { isDeepStrictEqual } from 'node:util';
import type { Endpoint, NativeEngine } from '../native/binding.ts';
import type { EndpointSetDraft } from './endpoint-selection.ts';

export interface EndpointSetReference {
  readonly id: string;
  readonly version: number;
}

interface SentSet {
  readonly version: number;
  readonly endpoints: readonly Endpoint[];
  readonly keys: readonly string[];
}

/**
 * Which endpoint sets the engine holds. A set goes there before the first answer that names it, and away with the answers:
 * whatever drops the answers that named it (one of its keys was touched) drops the set too.
 */
export class EndpointSets {
  readonly #engine: Pick<NativeEngine, 'setEndpointSet' | 'removeEndpointSet'>;
  readonly #sent = new Map<string, SentSet>();
  readonly #dependents = new Map<string, Set<string>>();
  /** One counter for all: a set that went and came back must not meet its own former version. */
  #lastVersion = 0;

  constructor(engine: Pick<NativeEngine, 'setEndpointSet' | 'removeEndpointSet'>) {
    this.#engine = engine;
  }

  get size(): number {
    return this.#sent.size;
  }

  /** @param keys what the content stands on; the answer that names the set must name them too */
  ensure(draft: EndpointSetDraft, keys: readonly string[]): EndpointSetReference {
    const known = this.#sent.get(draft.id);
    if (known !== undefined && isDeepStrictEqual(known.endpoints, draft.endpoints)) {
      return { id: draft.id, version: known.version };
    }
    if (known !== undefined) this.#forgetKeys(draft.id, known);
    const version = ++this.#lastVersion;
    this.#engine.setEndpointSet({ id: draft.id, version, endpoints: draft.endpoints });
    this.#sent.set(draft.id, { version, endpoints: draft.endpoints, keys });
    for (const key of keys) this.#dependentsOf(key).add(draft.id);
    return { id: draft.id, version };
  }

  /** To be called after the engine has dropped the answers that read these keys. */
  drop(keys: readonly string[]): void {
    const ids = new Set(keys.flatMap((key) => [...(this.#dependents.get(key) ?? [])]));
    for (const id of ids) {
      const set = this.#sent.get(id);
      if (set !== undefined) this.#forgetKeys(id, set);
      this.#sent.delete(id);
      this.#engine.removeEndpointSet(id);
    }
  }

  #dependentsOf(key: string): Set<string> {
    const known = this.#dependents.get(key);
    if (known !== undefined) return known;
    const ids = new Set<string>();
    this.#dependents.set(key, ids);
    return ids;
  }

  #forgetKeys(id: string, set: SentSet): void {
    for (const key of set.keys) {
      const ids = this.#dependents.get(key);
      ids?.delete(id);
      if (ids?.size === 0) this.#dependents.delete(key);
    }
  }
}
