import type { Condition } from '../../model/workload.ts';

/** A manifest as far as its kind and name go. */
export interface Named {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly creationTimestamp: string | null };
}

/** A manifest as conditions name it. */
export function resourceOf(kind: string, { metadata }: Named): string {
  return `${kind} ${metadata.namespace}/${metadata.name}`;
}

/** Collects what of one manifest is not honoured. The first of a kind are enough for whoever mends it. */
export class Notes {
  readonly #resource: string;
  readonly #conditions: Condition[] = [];

  constructor(kind: string, document: Named) {
    this.#resource = resourceOf(kind, document);
  }

  /**
   * @param message field first: `spec.rules[0].filters[1]: what it asks and what happens instead`
   * @param parent of a route, where it is so of that parent alone
   */
  add(type: string, reason: string, message: string, parent?: string): void {
    const known = this.#conditions.some((condition) => condition.message === message && condition.parent === parent);
    if (known || this.#conditions.length >= maximumNotes) return;
    const told = { resource: this.#resource, type, reason, message };
    this.#conditions.push(parent === undefined ? told : { ...told, parent });
  }

  /** A field that is not honoured, and what happens instead. */
  unsupported(field: string, message: string, parent?: string): void {
    this.add('Accepted', 'UnsupportedValue', `${field}: ${message}`, parent);
  }

  get conditions(): readonly Condition[] {
    return this.#conditions;
  }
}

const maximumNotes = 20;
