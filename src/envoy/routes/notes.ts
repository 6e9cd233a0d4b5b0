import type { Condition } from '../../model/workload.ts';

/** A manifest as far as its kind and name go. */
export interface Named {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly creationTimestamp: string | null };
}

/** Collects what of one manifest is not honoured. The first of a kind are enough for whoever mends it. */
export class Notes {
  readonly #resource: string;
  readonly #conditions: Condition[] = [];

  constructor(kind: string, { metadata }: Named) {
    this.#resource = `${kind} ${metadata.namespace}/${metadata.name}`;
  }

  /** @param message field first: `spec.rules[0].filters[1]: what it asks and what happens instead` */
  add(type: string, reason: string, message: string): void {
    const known = this.#conditions.some((condition) => condition.message === message);
    if (!known && this.#conditions.length < maximumNotes) {
      this.#conditions.push({ resource: this.#resource, type, reason, message });
    }
  }

  /** A field that no waypoint honours, and what happens instead. */
  unsupported(field: string, message: string): void {
    this.add('Accepted', 'UnsupportedValue', `${field}: ${message}`);
  }

  get conditions(): readonly Condition[] {
    return this.#conditions;
  }
}

const maximumNotes = 20;
