/** Waits until so many ACKs have come. */
export class Acknowledgements {
  #count = 0;
  #waiting: { readonly at: number; readonly resolve: () => void } | null = null;

  note(): void {
    this.#count++;
    if (this.#waiting === null || this.#count < this.#waiting.at) return;
    this.#waiting.resolve();
    this.#waiting = null;
  }

  get count(): number {
    return this.#count;
  }

  /** @param milliseconds after which it gives up */
  next(count: number, milliseconds: number): Promise<void> {
    const start = this.#count;
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => {
        reject(new Error(`only ${this.#count - start} of ${count} ACKs came within ${milliseconds} ms`));
      }, milliseconds);
      this.#waiting = {
        at: start + count,
        resolve: () => {
          clearTimeout(limit);
          resolve();
        },
      };
    });
  }
}
