/** Longest time that the work of one turn of the loop may take, all of it together. Milliseconds. */
const longestTurn = 5;

/** `soon` goes before `bulk`: what somebody waits for is never behind what is large. */
export type Urgency = 'soon' | 'bulk';

interface Task {
  readonly urgency: Urgency;
  /** @returns whether it was the last one */
  readonly step: () => boolean;
}

/**
 * Work of many on one loop, in steps. If each of them gave way by itself, all of them would go on in the next turn of the loop,
 * a hundred slices in a row; here they share one slice.
 */
export class Turns {
  readonly #waiting: Readonly<Record<Urgency, Task[]>> = { soon: [], bulk: [] };
  #scheduled = false;

  /** Runs work that yields between its steps. @throws what the work throws */
  run<T>(work: Generator<undefined, T>, urgency: Urgency): Promise<T> {
    return new Promise((resolve, reject) => {
      const step = (): boolean => {
        try {
          const { done, value } = work.next();
          if (done === true) resolve(value);
          return done === true;
        } catch (error) {
          reject(error instanceof Error ? error : new Error('work failed', { cause: error }));
          return true;
        }
      };
      this.#waiting[urgency].push({ urgency, step });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#takeTurn();
    });
  }

  #takeTurn(): void {
    const { soon, bulk } = this.#waiting;
    const started = performance.now();
    do {
      const task = soon.shift() ?? bulk.shift();
      if (task === undefined) return;
      if (!task.step()) this.#waiting[task.urgency].push(task);
    } while (performance.now() - started < longestTurn);
    if (soon.length + bulk.length > 0) this.#schedule();
  }
}
