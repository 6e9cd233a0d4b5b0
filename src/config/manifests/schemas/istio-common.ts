import { z } from 'zod';
import { closed, maybe, portNumber, text } from './common.ts';

/** Parts that Istio's kinds of traffic management share. */

const units: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 0.001, ns: 0.000001 };

/** Milliseconds of a hundred years: Envoy counts in nanoseconds, and nobody waits longer. */
const longest = 3_155_760_000_000;

/** As Go and protobuf write it: `1.5s`, `2m30s`; in milliseconds. */
export const istioDuration = text
  .refine((value) => /^(\d+(\.\d+)?(h|ms|us|ns|m|s))+$/.test(value), {
    error: 'must be a duration such as 5s, 1.5s or 100ms',
  })
  .transform((value): number => {
    const parts = value.matchAll(/(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)/g);
    return [...parts].reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ''] ?? 0), 0);
  })
  .refine((value) => value <= longest, { error: 'must be at most a hundred years' });

/** DNS name of a service, or its short name in the manifest's own namespace; `*.` only where many are meant. */
export const host = text
  .transform((value) => value.toLowerCase())
  .refine(
    (value) => /^(\*|(\*\.)?[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*)$/.test(value),
    {
      error: 'must be the name of a service or a DNS name',
    },
  );

export const destination = closed({
  host,
  subset: maybe(text),
  port: maybe(closed({ number: portNumber })),
});

export const percentage = closed({
  value: z
    .number()
    .min(0)
    .max(100)
    .nullish()
    .transform((value): number => value ?? 0),
});

export const count = z.int({ error: 'must be a whole number, 0 or more' }).min(0).max(4_294_967_295);

/** Wrapped booleans are written as booleans. */
export const flag = maybe(z.boolean());

export type DestinationDocument = z.output<typeof destination>;
