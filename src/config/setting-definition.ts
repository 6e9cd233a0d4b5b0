import type { Parser } from './setting-parsers.ts';

/** One row of a settings table: where a value comes from and what it may be. */
export interface Definition<Value> {
  readonly flag: string;
  readonly environment: string;
  /** Variables of the Istio world that mean the same; ours wins, and the first of these. */
  readonly aliases: readonly string[];
  /** Name of the value in `--help`. */
  readonly value: string;
  /** As a user would write it; null: none. */
  readonly default: string | null;
  readonly required: boolean;
  readonly meaning: string;
  readonly parse: Parser<Value>;
}

export function required<Value>(
  flag: string,
  value: string,
  meaning: string,
  parse: Parser<Value>,
  aliases: readonly string[] = [],
): Definition<Value> {
  return { flag, environment: variableOf(flag), aliases, value, default: null, required: true, meaning, parse };
}

export function optional<Value>(
  flag: string,
  value: string,
  fallback: string | null,
  meaning: string,
  parse: Parser<Value>,
  aliases: readonly string[] = [],
): Definition<Value> {
  return { flag, environment: variableOf(flag), aliases, value, default: fallback, required: false, meaning, parse };
}

function variableOf(flag: string): string {
  return `AMBIT_${flag.replaceAll('-', '_').toUpperCase()}`;
}
