import type { Condition } from '../../model/workload.ts';
import type { EnvoyLane } from './envoy-lane.ts';
import type { Refusal } from './refused-resources.ts';

/** Of more resources than these the rest is only counted, at the Gateway. */
const mostTold = 20;

/** What an Envoy has refused of one type, as conditions of the manifests that those resources were made of. */
export function refusedBy({ refused }: Pick<EnvoyLane, 'refused'>, waypoint: string): readonly Condition[] {
  const gateway = `Gateway ${waypoint}`;
  const conditions = refused.slice(0, mostTold).flatMap((refusal) => {
    const origins = refusal.origins.length === 0 ? [gateway] : refusal.origins;
    return origins.map((resource) => condition(resource, textOf(refusal, waypoint)));
  });
  const more = refused.length - mostTold;
  const rest =
    more > 0 ? [condition(gateway, `its proxies refuse ${more} more resources than are told one by one`)] : [];
  return [...new Map([...conditions, ...rest].map((item) => [JSON.stringify(item), item])).values()];
}

function textOf({ message, consequence }: Refusal, waypoint: string): string {
  const instead = consequence ?? 'what was in force before stays so';
  return `the proxy of ${waypoint} refuses it, and ${instead}: ${message}`;
}

function condition(resource: string, message: string): Condition {
  return { resource, type: 'Programmed', reason: 'Invalid', message };
}
