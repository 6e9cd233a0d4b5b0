/** Sums of one set of labels. */
interface Sums {
  requests: number;
  responses: number;
}

/** Sets of labels and lengths that are remembered: twice what a proxy tells apart. */
const MOST_CALLS = 8_000;

/**
 * Messages of gRPC at one proxy, made of how many calls of each length its proxy has counted. The proxy forgets lengths that have
 * not been met for long, and a sum must not fall by that: so what has been added since the page before is added up here.
 */
export class CallCounts {
  readonly #sums = new Map<string, Sums>();
  /** Calls by labels and length, as the last page said. */
  #last = new Map<string, number>();
  #next = new Map<string, number>();
  readonly #met = new Set<string>();

  /** @param calls with so many messages each, since the proxy began; @returns whether there is room for it */
  add(labels: string, messages: { readonly requests: number; readonly responses: number }, calls: number): boolean {
    if (this.#next.size >= MOST_CALLS) return false;
    const key = `${labels} ${messages.requests},${messages.responses}`;
    const before = this.#last.get(key) ?? 0;
    // Another proxy, or one that had forgotten it, began anew.
    const added = calls >= before ? calls - before : calls;
    this.#next.set(key, calls);
    this.#met.add(labels);
    const sums = this.#sums.get(labels) ?? { requests: 0, responses: 0 };
    this.#sums.set(labels, sums);
    sums.requests += added * messages.requests;
    sums.responses += added * messages.responses;
    return true;
  }

  /** A page has been read. @param complete it has not broken off: what it did not say is not there any more */
  finish(complete: boolean): void {
    if (complete) {
      this.#last = this.#next;
      for (const labels of this.#sums.keys()) if (!this.#met.has(labels)) this.#sums.delete(labels);
    } else {
      for (const [key, calls] of this.#next) this.#last.set(key, calls);
      if (this.#last.size > MOST_CALLS) this.#forget();
    }
    this.#next = new Map();
    this.#met.clear();
  }

  /** By labels. */
  get sums(): ReadonlyMap<string, Readonly<Sums>> {
    return this.#sums;
  }

  #forget(): void {
    this.#last = new Map();
    this.#sums.clear();
  }
}
