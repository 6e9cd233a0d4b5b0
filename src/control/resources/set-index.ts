const none: ReadonlySet<string> = new Set();

/** Names by key. */
export class SetIndex {
  readonly #sets = new Map<string, Set<string>>();

  get(key: string): ReadonlySet<string> {
    return this.#sets.get(key) ?? none;
  }

  add(key: string, name: string): void {
    const known = this.#sets.get(key);
    if (known === undefined) this.#sets.set(key, new Set([name]));
    else known.add(name);
  }

  remove(key: string, name: string): void {
    const known = this.#sets.get(key);
    known?.delete(name);
    if (known?.size === 0) this.#sets.delete(key);
  }
}
