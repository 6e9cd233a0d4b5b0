import { isDeepStrictEqual } from 'node:util';
import { backOffDelay } from '../../timing/back-off.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { LookupTurns } from './lookup-turns.ts';

/** What is known of a name. */
export interface NameAnswer {
  /** Canonical texts; none: the name has no address. */
  readonly addresses: readonly string[];
  /** How long that may be believed. Milliseconds. */
  readonly ttl: number;
}

/** Rejects when nobody could be asked, or nobody answered; a name that does not exist has no addresses. */
export type LookUpName = (name: string, signal: AbortSignal) => Promise<NameAnswer>;

export interface NameResolverDependencies {
  readonly lookUp: LookUpName;
  /** Puts what is known in force; null: nothing is known any more. */
  readonly publish: (name: string, addresses: readonly string[] | null) => void;
  /** Has the engine ask again about whatever stands on the name. */
  readonly askAgain: (name: string) => void;
  /** Whether some workload in the mesh still has the name. */
  readonly isUsed: (name: string) => boolean;
  readonly onLookup: (result: 'found' | 'absent' | 'failed') => void;
  readonly onFailure: (name: string, error: unknown, failures: number, keepsOld: boolean) => void;
  readonly timers: Timers;
  readonly random: Random;
  readonly limits?: NameLimits;
}

/** Times in milliseconds. */
export interface NameLimits {
  readonly names: number;
  /** Of those that pods of one namespace have asked for. */
  readonly namesOfOne: number;
  /** Lookups at once. */
  readonly lookups: number;
  readonly lookupsOfOne: number;
  readonly shortestTtl: number;
  readonly longestTtl: number;
  /** What was found last is used for so long after it should have been asked anew, while nobody answers. */
  readonly stale: number;
  /** After one to two of these without a question a name is not kept fresh any more. */
  readonly idle: number;
}

export const nameLimits: NameLimits = {
  names: 4096,
  namesOfOne: 1024,
  lookups: 16,
  lookupsOfOne: 4,
  shortestTtl: 5_000,
  longestTtl: 300_000,
  stale: 3_600_000,
  idle: 600_000,
};

const retry = { first: 1_000, longest: 30_000, jitter: 0.2 };

interface Known {
  readonly name: string;
  /** Who has asked for it last. */
  namespace: string;
  answer: NameAnswer | null;
  answeredAt: number;
  failures: number;
  /** The first lookup, which questions wait for; null once it has ended. */
  readonly waiting: (() => void)[];
  pending: boolean;
  /** It is looked up now. */
  running: boolean;
  /** Namespaces whose turns it waits for. */
  readonly queued: Set<string>;
  wanted: boolean;
  idleSince: number;
  cancel: () => void;
}

/**
 * Addresses of names that connections were made to: looked up with the first, kept fresh for as long as there are more. What was found
 * last stays in force while nobody answers, but not for ever.
 */
export class NameResolver {
  readonly #dependencies: NameResolverDependencies;
  readonly #limits: NameLimits;
  readonly #known = new Map<string, Known>();
  readonly #turns: LookupTurns<Known>;
  readonly #stopping = new AbortController();

  constructor(dependencies: NameResolverDependencies) {
    this.#dependencies = dependencies;
    this.#limits = dependencies.limits ?? nameLimits;
    this.#turns = new LookupTurns(this.#limits.lookups, this.#limits.lookupsOfOne);
  }

  get size(): number {
    return this.#known.size;
  }

  /**
   * A connection asks for the name.
   * @param namespace of the pod that makes it; @param done called once there is an answer, or a failure; at once where nothing is to be waited for
   */
  want(name: string, namespace: string, done: () => void): void {
    const known = this.#known.get(name) ?? this.#add(name, namespace);
    if (known === null) {
      done();
      return;
    }
    known.wanted = true;
    if (known.namespace !== namespace) this.#askFor(known, namespace);
    if (known.pending && known.answer === null && known.failures === 0) known.waiting.push(done);
    else done();
  }

  stop(): void {
    this.#stopping.abort();
    for (const known of this.#known.values()) {
      known.cancel();
      release(known);
    }
    this.#known.clear();
    this.#turns.clear();
  }

  /** Null where there are too many already. */
  #add(name: string, namespace: string): Known | null {
    if (this.#stopping.signal.aborted || !this.#hasRoom(namespace)) return null;
    const known: Known = {
      name,
      namespace,
      answer: null,
      answeredAt: 0,
      failures: 0,
      waiting: [],
      pending: true,
      running: false,
      queued: new Set(),
      wanted: true,
      idleSince: this.#dependencies.timers.now(),
      cancel: () => undefined,
    };
    this.#known.set(name, known);
    this.#ask(known);
    return known;
  }

  /** Whoever has asked for more than his share makes room of his own. */
  #hasRoom(namespace: string): boolean {
    const { names, namesOfOne } = this.#limits;
    const own = [...this.#known.values()].filter((known) => known.namespace === namespace);
    if (own.length >= namesOfOne) return this.#evict(own);
    return this.#known.size < names || this.#evict(this.#known.values());
  }

  /** Makes room by what nobody has asked for since it was last looked at. */
  #evict(among: Iterable<Known>): boolean {
    for (const known of among) {
      if (known.wanted || known.pending) continue;
      this.#forget(known);
      return true;
    }
    return false;
  }

  #forget(known: Known): void {
    known.cancel();
    this.#known.delete(known.name);
    this.#dependencies.publish(known.name, null);
  }

  #ask(known: Known): void {
    known.pending = true;
    this.#queue(known);
  }

  /** Nobody waits for the turns of somebody else who has asked for the name before. */
  #askFor(known: Known, namespace: string): void {
    known.namespace = namespace;
    if (known.pending && !known.running && !known.queued.has(namespace)) this.#queue(known);
  }

  #queue(known: Known): void {
    known.queued.add(known.namespace);
    this.#turns.add(known.namespace, known);
    this.#pump();
  }

  #pump(): void {
    for (let next = this.#turns.take(); next !== null; next = this.#turns.take()) {
      const { item, namespace } = next;
      if (this.#isDue(item)) void this.#lookUp(item, namespace);
      else this.#turns.end(namespace);
    }
  }

  /** It has had no other turn meanwhile, and was not let go of. */
  #isDue(known: Known): boolean {
    return known.pending && !known.running && this.#known.get(known.name) === known;
  }

  async #lookUp(known: Known, namespace: string): Promise<void> {
    const { lookUp, onLookup } = this.#dependencies;
    known.running = true;
    known.queued.clear();
    try {
      const answer = await lookUp(known.name, this.#stopping.signal);
      if (this.#known.get(known.name) === known) this.#answered(known, answer);
      onLookup(answer.addresses.length > 0 ? 'found' : 'absent');
    } catch (error) {
      if (this.#known.get(known.name) === known) this.#failed(known, error);
      onLookup('failed');
    } finally {
      known.running = false;
      this.#turns.end(namespace);
      this.#pump();
    }
  }

  #answered(known: Known, answer: NameAnswer): void {
    const { timers, publish } = this.#dependencies;
    const isNews = known.answer === null || !isDeepStrictEqual(known.answer.addresses, answer.addresses);
    known.answer = answer;
    known.answeredAt = timers.now();
    known.failures = 0;
    known.pending = false;
    if (isNews) publish(known.name, answer.addresses);
    release(known);
    const { shortestTtl, longestTtl } = this.#limits;
    this.#plan(known, Math.min(longestTtl, Math.max(shortestTtl, answer.ttl)));
  }

  #failed(known: Known, error: unknown): void {
    const { timers, publish, onFailure, random } = this.#dependencies;
    known.failures++;
    known.pending = false;
    const isStale = known.answer !== null && timers.now() - known.answeredAt > this.#limits.stale;
    if (isStale) {
      known.answer = null;
      publish(known.name, null);
    }
    onFailure(known.name, error, known.failures, known.answer !== null);
    release(known);
    this.#plan(known, backOffDelay(known.failures, retry, random));
  }

  #plan(known: Known, wait: number): void {
    if (this.#stopping.signal.aborted) return;
    known.cancel = this.#dependencies.timers.after(wait, () => {
      this.#refresh(known);
    });
  }

  /** An answer from the engine's cache says nothing of its use, so from time to time everybody is to ask again. */
  #refresh(known: Known): void {
    const { timers, isUsed, askAgain } = this.#dependencies;
    const isDue = timers.now() - known.idleSince >= this.#limits.idle;
    if (!isUsed(known.name) || (isDue && !known.wanted)) {
      this.#forget(known);
      return;
    }
    if (isDue) {
      known.wanted = false;
      known.idleSince = timers.now();
      askAgain(known.name);
    }
    this.#ask(known);
  }
}

function release(known: Known): void {
  for (const done of known.waiting.splice(0)) done();
}
