/**
 * Resources of a response that was refused. Envoy says no to all of a response for one of it, may have taken some, and does not always
 * say which it means: they are sent anew in ever smaller groups, until what is refused stands alone.
 */
export class Suspects {
  #groups: (readonly string[])[] = [];
  readonly #names = new Set<string>();

  /** @param names of the refused response, two at least; @param message what Envoy has said */
  accuse(names: readonly string[], message: string): void {
    const named = names.filter((name) => message.includes(name));
    const isHint = named.length > 0 && named.length < names.length;
    const half = Math.ceil(names.length / 2);
    const groups = isHint
      ? [names.filter((name) => !named.includes(name)), named]
      : [names.slice(0, half), names.slice(half)];
    for (const group of groups) this.#push(group);
  }

  /** To be sent by itself: what was refused before is likely to be again. */
  accuseAlone(name: string): void {
    if (!this.#names.has(name)) this.#push([name]);
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  get isEmpty(): boolean {
    return this.#groups.length === 0;
  }

  /** The next group that is to be sent; none: empty. */
  take(): readonly string[] {
    const group = this.#groups.shift() ?? [];
    for (const name of group) this.#names.delete(name);
    return group;
  }

  drop(name: string): void {
    if (!this.#names.delete(name)) return;
    this.#groups = this.#groups
      .map((group) => group.filter((other) => other !== name))
      .filter((group) => group.length > 0);
  }

  #push(group: readonly string[]): void {
    this.#groups.push(group);
    for (const name of group) this.#names.add(name);
  }
}
