import type { ResourceKey } from './resources.ts';

export interface Held extends ResourceKey {
  /** null: the control plane was told that something is wrong with it, so it may not count as held. */
  readonly version: string | null;
}

/** What the control plane has given of one type, by resource name. Outlives connections: a reconnect costs differences. */
export class HeldResources {
  readonly #held = new Map<string, Held>();

  get size(): number {
    return this.#held.size;
  }

  /** For `initial_resource_versions`. */
  versions(): Record<string, string> {
    const entries: [string, string][] = [];
    for (const [name, { version }] of this.#held) if (version !== null) entries.push([name, version]);
    return Object.fromEntries(entries);
  }

  entries(): Iterable<readonly [name: string, held: Held]> {
    return this.#held;
  }

  keyOf(name: string): ResourceKey | null {
    return this.#held.get(name) ?? null;
  }

  set(name: string, { kind, key }: ResourceKey, version: string | null): void {
    this.#held.set(name, { kind, key, version });
  }

  /** All of them have to come once more: what was made of them is not what they mean any more. */
  doubt(): void {
    for (const [name, held] of this.#held) this.#held.set(name, { ...held, version: null });
  }

  clear(): void {
    this.#held.clear();
  }

  delete(name: string): void {
    this.#held.delete(name);
  }
}
