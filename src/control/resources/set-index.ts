const none: ReadonlySet<string> = new Set();

/** Names by key. Most keys, such as addresses, have one name, and a set for each of those would cost ten times its name. */
export class SetIndex {
  readonly #names = new Map<string, string | Set<string>>();

  get(key: string): ReadonlySet<string> {
    const known = this.#names.get(key);
    if (known === undefined) return none;
    return typeof known === 'string' ? new Set([known]) : known;
  }

  add(key: string, name: string): void {
    const known = this.#names.get(key);
    if (known === undefined) this.#names.set(key, name);
    else if (typeof known !== 'string') known.add(name);
    else if (known !== name) this.#names.set(key, new Set([known, name]));
  }

  remove(key: string, name: string): void {
    const known = this.#names.get(key);
    if (known === name) this.#names.delete(key);
    if (known === undefined || typeof known === 'string') return;
    known.delete(name);
    if (known.size === 0) this.#names.delete(key);
  }
}
