import type { RateLimitDocument, RateLimitPolicyDocument } from '../../config/manifests/schemas/rate-limit-policy.ts';
import { Notes } from '../routes/notes.ts';
import { noSecurity } from './model.ts';
import type { RateLimit } from './model.ts';
import type { SecurityPart } from './part.ts';
import { readTargets } from './targets.ts';

/** A RateLimitPolicy. Each service of each target has buckets of its own, and so has each replica of its waypoint. */
export function convertRateLimitPolicy(document: RateLimitPolicyDocument, rootNamespace: string): SecurityPart {
  const notes = new Notes('RateLimitPolicy', document);
  const { metadata, spec } = document;
  const targets = readTargets(document, { rootNamespace, notes, routes: true });
  const name = `${metadata.namespace}/${metadata.name}`;
  const limits = targets.flatMap((target) =>
    spec.limits.map((limit, index) => rateLimit(limit, `${name}/${index}`, target)),
  );
  const security = { ...noSecurity, limits };
  return {
    resource: `RateLimitPolicy ${name}`,
    targets,
    security,
    left: null,
    selected: null,
    conditions: notes.conditions,
  };
}

function rateLimit({ requests, interval, burst, per }: RateLimitDocument, name: string, target: string): RateLimit {
  return { name, target, requests, interval, burst: burst ?? requests, per: per === 'Client' ? 'client' : 'all' };
}
