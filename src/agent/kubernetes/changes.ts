/** Tells that something may hold now that did not hold before, and lets others wait until it does. */
export class Changes {
  readonly #listeners = new Set<() => void>();

  announce(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** For good. */
  listen(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Resolves with the first answer that is not null. Rejects with the signal's reason. */
  until<T>(probe: () => T | null, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = signal.aborted ? null : probe();
        if (found === null && !signal.aborted) return;
        this.#listeners.delete(look);
        signal.removeEventListener('abort', look);
        if (found !== null) resolve(found);
        else reject(signal.reason as Error);
      };
      this.#listeners.add(look);
      signal.addEventListener('abort', look);
      look();
    });
  }
}
