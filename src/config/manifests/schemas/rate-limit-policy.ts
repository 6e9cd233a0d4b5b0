import { z } from 'zod';
import { closed, documentOf } from './common.ts';
import { istioDuration } from './istio-common.ts';
import { targetReferenceFields } from './target-references.ts';

const clients = ['All', 'Client'] as const;
/** As finely as Envoy fills a bucket, and as long as anybody remembers it. */
const shortestInterval = 50;
const longestInterval = 86_400_000;

const requests = z.int({ error: 'must be a whole number, 1 or more' }).min(1).max(4_294_967_295);

/** Each field's text is its row in the documentation. */
const limit = closed({
  requests: requests.describe('Requests that are let through per interval.'),
  interval: istioDuration
    .refine((value) => value >= shortestInterval && value <= longestInterval, { error: 'must be 50ms to 24h' })
    .describe('How long it takes until as many more may come.'),
  burst: requests.nullish().describe('How many may come at once; as many as `requests` unless said.'),
  per: z
    .enum(clients, { error: `must be ${clients.join(' or ')}` })
    .nullish()
    .transform((value): (typeof clients)[number] => value ?? 'All')
    .describe('`All`: one bucket for everybody; `Client`: one for each identity, those without one share theirs.'),
});

const spec = closed({ ...targetReferenceFields, limits: z.array(limit).min(1).max(8) }).refine(
  ({ targetRef, targetRefs }) => targetRef !== null || (targetRefs?.length ?? 0) > 0,
  { error: 'must name at least one target', path: ['targetRefs'] },
);

export const rateLimitPolicySchema = documentOf(spec);

export type RateLimitPolicyDocument = z.output<typeof rateLimitPolicySchema>;
export type RateLimitDocument = z.output<typeof limit>;
