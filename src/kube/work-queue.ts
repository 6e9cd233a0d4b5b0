import { backOffDelay } from '../timing/back-off.ts';
import type { Random, Timers } from '../timing/timers.ts';

export interface WorkQueueOptions {
  /** Resolves when the key's work is done; what it rejects with has it tried again later. */
  readonly work: (key: string, signal: AbortSignal) => Promise<void>;
  /** How many keys are worked on at once; one key never is twice. */
  readonly concurrency: number;
  readonly timers: Timers;
  readonly random: Random;
  readonly onFailure: (key: string, error: unknown, failures: number) => void;
}

const RETRY = { first: 200, longest: 60_000, jitter: 0.2 };

/**
 * Keys to be worked on: each once, however often it is added meanwhile; one that is added while it is worked on comes again; one
 * that fails comes again later and later. The work looks up for itself what the key stands for now.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #delayed = new Map<string, () => void>();
  readonly #stopping = new AbortController();
  readonly #idle: (() => void)[] = [];

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Keys that are waiting, worked on, or to be tried again. */
  get size(): number {
    return this.#waiting.size + this.#running.size + this.#delayed.size;
  }

  /** A key that waits for another try is tried at once: something about it is new. */
  add(key: string): void {
    if (this.#stopping.signal.aborted) return;
    this.#cancelDelayed(key);
    this.#waiting.add(key);
    this.#pump();
  }

  addAfter(key: string, milliseconds: number): void {
    if (this.#stopping.signal.aborted || this.#waiting.has(key)) return;
    this.#cancelDelayed(key);
    const cancel = this.#options.timers.after(milliseconds, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, cancel);
  }

  /** Nothing new is begun; resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#waiting.clear();
    for (const key of [...this.#delayed.keys()]) this.#cancelDelayed(key);
    if (this.#running.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #pump(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= this.#options.concurrency) return;
      if (this.#running.has(key)) continue;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    const { work, onFailure, random } = this.#options;
    try {
      await work(key, this.#stopping.signal);
      this.#failures.delete(key);
    } catch (error) {
      const failures = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, failures);
      if (!this.#stopping.signal.aborted) {
        onFailure(key, error, failures);
        this.addAfter(key, backOffDelay(failures, RETRY, random));
      }
    }
    this.#running.delete(key);
    if (this.#running.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
    this.#pump();
  }

  #cancelDelayed(key: string): void {
    this.#delayed.get(key)?.();
    this.#delayed.delete(key);
  }
}
