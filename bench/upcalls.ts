import type { Agent } from '../test/support/agent.ts';
import { select } from '../test/support/metrics.ts';
import type { Sample } from '../test/support/metrics.ts';

/** Microseconds. Of a histogram, so each is the upper end of the bucket that it lies in. */
export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

/** From the engine's question to its answer, and the part of it that the decision itself took. */
export interface UpcallMeasure {
  readonly questions: number;
  readonly roundTrip: Quantiles;
  readonly decision: Quantiles;
}

/** Design: p50 of question, decision and answer on an idle loop. Microseconds. */
export const upcallAim = 50;

const roundTrip = 'ambit_decision_latency_seconds';
const decision = 'ambit_upcall_decision_seconds';

/** What the upcalls cost that `cause` brings about. */
export async function measureUpcalls(agent: Agent, cause: () => Promise<unknown>): Promise<UpcallMeasure> {
  const before = await agent.metrics();
  await cause();
  const after = await agent.metrics();
  const counts = increases(before, after, roundTrip);
  return {
    questions: counts.at(-1)?.count ?? 0,
    roundTrip: quantiles(counts),
    decision: quantiles(increases(before, after, decision)),
  };
}

interface Bucket {
  readonly upperEnd: number;
  /** Cumulative. */
  readonly count: number;
}

function increases(before: readonly Sample[], after: readonly Sample[], name: string): Bucket[] {
  const old = buckets(before, name);
  return [...buckets(after, name)]
    .map(([upperEnd, count]) => ({ upperEnd, count: count - (old.get(upperEnd) ?? 0) }))
    .sort((left, right) => left.upperEnd - right.upperEnd);
}

function buckets(samples: readonly Sample[], name: string): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { labels, value } of select(samples, `${name}_bucket`)) {
    const upperEnd = labels['le'] === '+Inf' ? Infinity : Number(labels['le']);
    counts.set(upperEnd, (counts.get(upperEnd) ?? 0) + value);
  }
  return counts;
}

function quantiles(counts: readonly Bucket[]): Quantiles {
  const total = counts.at(-1)?.count ?? 0;
  if (total === 0) throw new Error('no question was asked: there is nothing to measure');
  const at = (share: number): number =>
    (counts.find(({ count }) => count >= total * share)?.upperEnd ?? Infinity) * 1e6;
  return { p50: at(0.5), p99: at(0.99) };
}
