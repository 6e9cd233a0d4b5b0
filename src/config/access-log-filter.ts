import type { Parsed, Parser } from './setting-parsers.ts';

/** Which connections the access log tells of. Lists: any of them; different kinds of conditions: all of them. */
export interface AccessLogConditions {
  /** How the connection must have ended; `denied`: refused or ended by policy. */
  readonly outcome: 'any' | 'errors' | 'denied';
  /** Empty: both. */
  readonly directions: readonly ('inbound' | 'outbound')[];
  /** Of either end; empty: all. */
  readonly namespaces: readonly string[];
}

const EVERYTHING: AccessLogConditions = { outcome: 'any', directions: [], namespaces: [] };

const EXPECTED =
  '`all`, or conditions separated by commas: errors, denied, direction=inbound, direction=outbound, namespace=NAME';

/** Parts of a percent that the engine tells apart. */
const PER_PERCENT = 100;

/** A percentage with at most two decimals, as a number of 10,000. */
export const samplingShare: Parser<number> = (text) =>
  /^\d{1,3}(\.\d{1,2})?$/.test(text) && Number(text) <= 100
    ? { ok: true, value: Math.round(Number(text) * PER_PERCENT) }
    : { ok: false, expected: 'a percentage from 0 to 100 with at most two decimals' };

export const accessLogConditions: Parser<AccessLogConditions> = (text) => {
  if (text === 'all') return { ok: true, value: EVERYTHING };
  let conditions = EVERYTHING;
  for (const part of text.split(',')) {
    const next = withCondition(conditions, part.trim());
    if (next === null) return { ok: false, expected: EXPECTED } satisfies Parsed<AccessLogConditions>;
    conditions = next;
  }
  return { ok: true, value: conditions };
};

/** Null where it is no condition. */
function withCondition(conditions: AccessLogConditions, text: string): AccessLogConditions | null {
  const { outcome, directions, namespaces } = conditions;
  // Whoever was denied met an error: of the two, `errors` is the wider one.
  if (text === 'errors') return { ...conditions, outcome: 'errors' };
  if (text === 'denied') return { ...conditions, outcome: outcome === 'any' ? 'denied' : outcome };
  const [, direction, namespace] =
    /^(?:direction=(inbound|outbound)|namespace=([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?))$/.exec(text) ?? [];
  if (direction === 'inbound' || direction === 'outbound') {
    return { ...conditions, directions: [...directions, direction] };
  }
  return namespace === undefined ? null : { ...conditions, namespaces: [...namespaces, namespace] };
}

/** The texts that the parsers above take. */
export function accessLogText(sampling: number, conditions: AccessLogConditions): { sampling: string; filter: string } {
  const parts = [
    ...(conditions.outcome === 'any' ? [] : [conditions.outcome]),
    ...conditions.directions.map((direction) => `direction=${direction}`),
    ...conditions.namespaces.map((namespace) => `namespace=${namespace}`),
  ];
  return { sampling: String(sampling / PER_PERCENT), filter: parts.join(',') || 'all' };
}
