import { AmbitError } from '../config/errors.ts';
import type { NativeEngine } from '../native/binding.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { backOffDelay } from '../timing/back-off.ts';
import { ConcurrencyLimit } from '../timing/concurrency-limit.ts';
import { withDeadline } from '../timing/deadline.ts';
import type { Random, Timers } from '../timing/timers.ts';

export interface IssuedCertificate {
  /** PEM, leaf first. */
  readonly certificateChain: string;
  /** PKCS#8 PEM; stays in memory. */
  readonly privateKey: string;
  /** PEM. */
  readonly roots: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Who signs: a CA folder, or later a CA over the network. */
export interface CertificateSigner {
  sign(spiffeId: string, signal: AbortSignal): Promise<IssuedCertificate>;
}

/** A certificate as the admin page shows it; never with its key. */
export interface CertificateStatus {
  readonly identity: string;
  readonly state: 'initializing' | 'available' | 'unavailable';
  readonly reason: string | null;
  /** PEM; null until the first one is there. */
  readonly certificateChain: string | null;
  readonly roots: string | null;
  /** Milliseconds since the epoch; null until the first one is there. */
  readonly notAfter: number | null;
}

export interface CertificateManagerDependencies {
  readonly signer: CertificateSigner;
  readonly engine: Pick<NativeEngine, 'setIdentity' | 'removeIdentity'>;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'certificateExpiry' | 'certificateRequests'>;
}

/** A signer works for all pods of the node; a restart must not drown it. */
const REQUESTS_AT_ONCE = 4;
const REQUEST_DEADLINE_MS = 10_000;
const RETRY = { first: 1000, longest: 150_000, jitter: 0.2 };
/** What has failed while the signer was away is tried again within this time: many nodes see it come back together. Milliseconds. */
const SOON_MS = 5000;
/** Renewal falls into this part of a certificate's life, at random: the pods of a node started together. */
const RENEWAL_WINDOW = { from: 0.5, to: 0.8 };

interface Entry {
  readonly identity: string;
  current: IssuedCertificate | null;
  failures: number;
  lastError: string | null;
  requestedAt: number;
  /** When the next request is planned; 0 while one is under way. */
  due: number;
  cancelTimer: () => void;
  /** Resolves when the first attempt has ended, however it did, or the identity is no longer required. */
  readonly attempted: Promise<void>;
  readonly endAttempt: () => void;
}

/** One certificate and key per identity of the node, from a pod's appearance to the last pod's end. */
export class CertificateManager {
  readonly #dependencies: CertificateManagerDependencies;
  readonly #entries = new Map<string, Entry>();
  readonly #limit = new ConcurrencyLimit(REQUESTS_AT_ONCE);
  #signerBackAt = Number.NEGATIVE_INFINITY;

  constructor(dependencies: CertificateManagerDependencies) {
    this.#dependencies = dependencies;
  }

  /** The identities that pods of the node have now. New ones are requested, those that are not among them are dropped. */
  require(identities: ReadonlySet<string>): void {
    for (const entry of [...this.#entries.values()]) {
      if (!identities.has(entry.identity)) this.#drop(entry);
    }
    for (const identity of identities) {
      if (!this.#entries.has(identity)) this.#add(identity);
    }
  }

  /** Waits for the first attempt to get a certificate, not for success: it never rejects. */
  async attempted(identity: string): Promise<void> {
    await this.#entries.get(identity)?.attempted;
  }

  status(): readonly CertificateStatus[] {
    return [...this.#entries.values()].map((entry) => this.#statusOf(entry));
  }

  /** The signer can be reached again: what has failed meanwhile is not put off any longer. */
  signerIsBack(): void {
    const { timers, random } = this.#dependencies;
    this.#signerBackAt = timers.now();
    for (const entry of this.#entries.values()) {
      const delay = SOON_MS * random();
      if (entry.failures === 0 || entry.due <= timers.now() + delay) continue;
      entry.failures = 1;
      entry.cancelTimer();
      this.#plan(entry, delay);
    }
  }

  /** Ends all timers. What the engine holds stays there. */
  stop(): void {
    for (const entry of this.#entries.values()) {
      entry.cancelTimer();
      entry.endAttempt();
    }
    this.#entries.clear();
  }

  #add(identity: string): void {
    const entry = newEntry(identity);
    this.#entries.set(identity, entry);
    void this.#request(entry);
  }

  #drop(entry: Entry): void {
    entry.cancelTimer();
    entry.endAttempt();
    this.#entries.delete(entry.identity);
    this.#dependencies.metrics.certificateExpiry.remove({ identity: entry.identity });
    if (entry.current !== null) this.#dependencies.engine.removeIdentity(entry.identity);
  }

  /** The same name may have been dropped and added again while a request was under way. */
  #isLive(entry: Entry): boolean {
    return this.#entries.get(entry.identity) === entry;
  }

  async #request(entry: Entry): Promise<void> {
    try {
      const issued = await this.#limit.run(() => this.#sign(entry));
      if (issued !== null && this.#isLive(entry)) this.#accept(entry, issued);
    } catch (error) {
      if (this.#isLive(entry)) this.#fail(entry, error);
    } finally {
      entry.endAttempt();
    }
  }

  async #sign(entry: Entry): Promise<IssuedCertificate | null> {
    if (!this.#isLive(entry)) return null;
    const { signer, timers } = this.#dependencies;
    entry.requestedAt = timers.now();
    const timeout = (): Error =>
      new AmbitError('CA_TIMEOUT', `no certificate for ${entry.identity} within ${REQUEST_DEADLINE_MS / 1000} s`);
    return withDeadline(REQUEST_DEADLINE_MS, timers, timeout, (signal) => signer.sign(entry.identity, signal));
  }

  #accept(entry: Entry, issued: IssuedCertificate): void {
    const { engine, metrics, logger } = this.#dependencies;
    const { certificateChain, privateKey, roots } = issued;
    engine.setIdentity({ spiffeId: entry.identity, certificateChain, privateKey, roots });
    entry.current = issued;
    entry.failures = 0;
    entry.lastError = null;
    metrics.certificateRequests.inc({ result: 'success' });
    metrics.certificateExpiry.set({ identity: entry.identity }, issued.notAfter / 1000);
    logger.info({ identity: entry.identity, notAfter: new Date(issued.notAfter).toISOString() }, 'certificate in use');
    this.#plan(entry, this.#renewalDelay(issued));
  }

  #fail(entry: Entry, error: unknown): void {
    const { random } = this.#dependencies;
    // The signer may have come back while the request was under way.
    entry.failures = this.#signerBackAt >= entry.requestedAt ? 1 : entry.failures + 1;
    entry.lastError = errorFields(error).error;
    const delay = backOffDelay(entry.failures, RETRY, random);
    this.#dependencies.metrics.certificateRequests.inc({ result: 'failure' });
    this.#dependencies.logger.warn(
      { ...errorFields(error), identity: entry.identity, failures: entry.failures, retryInMs: delay },
      'certificate request failed',
    );
    this.#plan(entry, delay);
  }

  #plan(entry: Entry, delay: number): void {
    const { timers } = this.#dependencies;
    entry.due = timers.now() + delay;
    entry.cancelTimer = timers.after(delay, () => {
      entry.due = 0;
      void this.#request(entry);
    });
  }

  /** Of the life that is left: a CA dates its certificates back, so that clocks that are behind take them. */
  #renewalDelay({ notAfter }: IssuedCertificate): number {
    const { from, to } = RENEWAL_WINDOW;
    const { timers, random } = this.#dependencies;
    const left = notAfter - timers.now();
    // A clock that is far off would otherwise have it renewed without pause.
    return Math.max(RETRY.first, left * (from + (to - from) * random()));
  }

  #statusOf({ identity, current, lastError }: Entry): CertificateStatus {
    const expired = current !== null && current.notAfter <= this.#dependencies.timers.now();
    const missing = lastError === null ? 'initializing' : 'unavailable';
    return {
      identity,
      state: current !== null && !expired ? 'available' : expired ? 'unavailable' : missing,
      reason: expired ? `expired; ${lastError ?? 'being renewed'}` : lastError,
      certificateChain: current?.certificateChain ?? null,
      roots: current?.roots ?? null,
      notAfter: current?.notAfter ?? null,
    };
  }
}

function newEntry(identity: string): Entry {
  let endAttempt: () => void = () => undefined;
  const attempted = new Promise<void>((resolve) => (endAttempt = resolve));
  return {
    identity,
    current: null,
    failures: 0,
    lastError: null,
    requestedAt: 0,
    due: 0,
    cancelTimer: () => undefined,
    attempted,
    endAttempt: () => {
      endAttempt();
    },
  };
}
