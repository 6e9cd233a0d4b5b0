/** So many of each of two generations are looked up. */
const largestGeneration = 4096;

/**
 * Gives equal values as one object, so that a hundred thousand documents which say the same keep it once. It forgets what was not
 * seen for a while: an equal value after that is another object, which costs memory and no more. Values must not be changed.
 */
export class SharedValues<Value> {
  #young = new Map<string, Value>();
  #old: ReadonlyMap<string, Value> = new Map();

  /** @param content equal where the values are equal. @returns the first that had it, or the value itself */
  share(content: string, value: Value): Value {
    const known = this.#young.get(content);
    if (known !== undefined) return known;
    if (this.#young.size >= largestGeneration) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    const shared = this.#old.get(content) ?? value;
    this.#young.set(content, shared);
    return shared;
  }
}
