export type Level = 'ok' | 'warn' | 'error';

/** One thing that was looked at. */
export interface Finding {
  readonly level: Level;
  /** What was looked at, and what was seen. */
  readonly what: string;
  /** What to do; empty where nothing is. */
  readonly advice: string;
}

export function ok(what: string): Finding {
  return { level: 'ok', what, advice: '' };
}

export function warn(what: string, advice: string): Finding {
  return { level: 'warn', what, advice };
}

export function failed(what: string, advice: string): Finding {
  return { level: 'error', what, advice };
}
