interface Waiting {
  readonly namespace: string;
  readonly start: () => void;
}

/** At most so many at once, and so many of one namespace: nobody's names that answer slowly keep the others waiting. */
export class FetchTurns {
  readonly #most: number;
  readonly #mostOfOne: number;
  readonly #running = new Map<string, number>();
  #waiting: Waiting[] = [];

  constructor(most: number, mostOfOne: number) {
    this.#most = most;
    this.#mostOfOne = mostOfOne;
  }

  /** In the order in which they come. @throws the signal's reason where that comes first */
  async run<T>(namespace: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    await this.#turn(namespace, signal);
    try {
      return await task();
    } finally {
      this.#end(namespace);
    }
  }

  async #turn(namespace: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#isFree(namespace)) {
      this.#begin(namespace);
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        reject(signal.reason as Error);
      };
      const start = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const waiting = { namespace, start };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiting);
    });
  }

  #isFree(namespace: string): boolean {
    const all = [...this.#running.values()].reduce((sum, count) => sum + count, 0);
    return all < this.#most && (this.#running.get(namespace) ?? 0) < this.#mostOfOne;
  }

  #begin(namespace: string): void {
    this.#running.set(namespace, (this.#running.get(namespace) ?? 0) + 1);
  }

  #end(namespace: string): void {
    const left = (this.#running.get(namespace) ?? 0) - 1;
    if (left > 0) this.#running.set(namespace, left);
    else this.#running.delete(namespace);
    const next = this.#waiting.find((waiting) => this.#isFree(waiting.namespace));
    if (next === undefined) return;
    this.#waiting = this.#waiting.filter((other) => other !== next);
    this.#begin(next.namespace);
    next.start();
  }
}
