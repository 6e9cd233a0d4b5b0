/** Gives out the smallest numbers that it can without looking for them. */
export class Slots {
  readonly #free: number[] = [];
  #limit = 0;

  /** Above all that were ever given out. */
  get limit(): number {
    return this.#limit;
  }

  take(): number {
    return this.#free.pop() ?? this.#limit++;
  }

  release(slot: number): void {
    this.#free.push(slot);
  }
}
