import { z } from 'zod';
import { closed, maybe, portNumber, resourceName, stringMap, text } from './common.ts';

const weight = z
  .number({ error: 'must be a number, 0 to 4294967295' })
  .refine((value) => Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff, {
    error: 'must be a whole number, 0 to 4294967295',
  });

/** One place of traffic as people write it: a WorkloadEntry, an endpoint of a ServiceEntry, a WorkloadGroup's template. */
export const endpointSpec = closed({
  address: maybe(text),
  ports: z
    .record(z.string(), portNumber)
    .nullish()
    .transform((value): Readonly<Record<string, number>> => value ?? {}),
  labels: stringMap,
  network: maybe(text),
  locality: maybe(text),
  weight: maybe(weight),
  serviceAccount: maybe(resourceName),
});

export type EndpointDocument = z.output<typeof endpointSpec>;
