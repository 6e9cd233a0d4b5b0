/** The words of a model's union with their numbers on the wire, for both directions. */
export class Enumeration<Word extends string, Value extends number> {
  readonly #numbers: Readonly<Record<Word, Value>>;
  readonly #words: ReadonlyMap<number, Word>;

  constructor(numbers: Readonly<Record<Word, Value>>) {
    this.#numbers = numbers;
    this.#words = new Map(Object.entries<Value>(numbers).map(([word, number]) => [number, word as Word]));
  }

  encode(word: Word): Value {
    return this.#numbers[word];
  }

  /** Undefined for a number of a newer peer. */
  decode(number: number): Word | undefined {
    return this.#words.get(number);
  }
}
