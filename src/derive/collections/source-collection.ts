import { isDeepStrictEqual } from 'node:util';
import { Collection } from './collection.ts';

/** Values that come from outside. */
export class SourceCollection<Value extends object> extends Collection<Value> {
  readonly #values = new Map<string, Value>();

  get(key: string): Value | undefined {
    return this.#values.get(key);
  }

  get size(): number {
    return this.#values.size;
  }

  keys(): Iterable<string> {
    return this.#values.keys();
  }

  /** @param value null: there is none any more. An equal one is no change. */
  set(key: string, value: Value | null): void {
    const before = this.#values.get(key);
    const after = value ?? undefined;
    if (before === after || isDeepStrictEqual(before, after)) return;
    if (after === undefined) this.#values.delete(key);
    else this.#values.set(key, after);
    this.publish(key, before, after);
  }
}
