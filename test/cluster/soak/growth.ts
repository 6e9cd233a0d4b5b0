import type { Holdings, Sample } from './holdings.ts';

/** How much more the end may hold than the beginning: what a collector has not collected yet, and what is open at the moment. */
const allowed: Readonly<Record<keyof Holdings, { readonly share: number; readonly more: number }>> = {
  memoryMiB: { share: 0.15, more: 10 },
  descriptors: { share: 0.1, more: 20 },
  mapEntries: { share: 0, more: 8 },
};

export interface Growth {
  readonly part: string;
  readonly what: keyof Holdings;
  readonly early: number;
  readonly late: number;
  readonly tooMuch: boolean;
}

/** The second fifth of the time beside the last: what a process needs to warm up is no leak. @param samples at least five */
export function growthIn(samples: readonly Sample[]): readonly Growth[] {
  const fifth = Math.floor(samples.length / 5);
  const early = samples.slice(fifth, 2 * fifth);
  const late = samples.slice(-fifth);
  return [...(samples[0]?.keys() ?? [])].flatMap((part) =>
    (Object.keys(allowed) as (keyof Holdings)[]).map((what) => {
      const before = meanOf(early, part, what);
      const after = meanOf(late, part, what);
      const limit = before * (1 + allowed[what].share) + allowed[what].more;
      return { part, what, early: before, late: after, tooMuch: after > limit };
    }),
  );
}

function meanOf(samples: readonly Sample[], part: string, what: keyof Holdings): number {
  const values = samples.map((sample) => sample.get(part)?.[what] ?? NaN);
  return values.reduce((total, value) => total + value, 0) / values.length;
}

export function growthText(growth: readonly Growth[]): string {
  const lines = growth.map(
    ({ part, what, early, late, tooMuch }) =>
      `${part.padEnd(9)} ${what.padEnd(12)} ${early.toFixed(1).padStart(9)} ${late.toFixed(1).padStart(9)}  ${tooMuch ? 'GROWS' : 'flat'}`,
  );
  return ['part      what          second fifth  last fifth', ...lines].join('\n');
}
