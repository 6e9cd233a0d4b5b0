/** The part of the clock that a source needs. */
export interface Timers {
  /** Calls back once after so many milliseconds, and keeps no process alive; the result cancels. */
  after(milliseconds: number, callback: () => void): () => void;
}

export const systemTimers: Timers = {
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};
