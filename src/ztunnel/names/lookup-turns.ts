/**
 * What waits, by namespace: they take turns, and each has only so many under way. Whoever has a thousand names that nobody answers for
 * keeps himself waiting.
 */
export class LookupTurns<Item> {
  readonly #most: number;
  readonly #mostOfOne: number;
  /** In the order of their turns; none is empty. */
  readonly #waiting = new Map<string, Item[]>();
  readonly #running = new Map<string, number>();
  #total = 0;

  constructor(most: number, mostOfOne: number) {
    this.#most = most;
    this.#mostOfOne = mostOfOne;
  }

  add(namespace: string, item: Item): void {
    const waiting = this.#waiting.get(namespace);
    if (waiting === undefined) this.#waiting.set(namespace, [item]);
    else waiting.push(item);
  }

  /** Whose turn it is, which is then under way until it is ended; null: nobody's. */
  take(): { readonly namespace: string; readonly item: Item } | null {
    if (this.#total >= this.#most) return null;
    for (const [namespace, waiting] of this.#waiting) {
      const running = this.#running.get(namespace) ?? 0;
      if (running >= this.#mostOfOne) continue;
      const item = waiting.shift();
      this.#waiting.delete(namespace);
      if (waiting.length > 0) this.#waiting.set(namespace, waiting);
      if (item === undefined) continue;
      this.#running.set(namespace, running + 1);
      this.#total++;
      return { namespace, item };
    }
    return null;
  }

  end(namespace: string): void {
    const left = (this.#running.get(namespace) ?? 0) - 1;
    if (left > 0) this.#running.set(namespace, left);
    else this.#running.delete(namespace);
    this.#total--;
  }

  clear(): void {
    this.#waiting.clear();
  }
}
