import type { Condition } from '../../model/workload.ts';
import type { EnvoyLane } from './envoy-lane.ts';
import type { WaypointStore } from './waypoint-store.ts';

/** More resources than these are not blamed one by one: where Envoy has not said which it means, the waypoint is. */
const mostBlamed = 5;

/** What an Envoy has refused of one type, as conditions of the manifests that those resources were made of. */
export function refusedBy(
  { rejected, type }: Pick<EnvoyLane, 'rejected' | 'type'>,
  store: WaypointStore,
  waypoint: string,
): readonly Condition[] {
  const gateway = `Gateway ${waypoint}`;
  const [message = ''] = rejected.values();
  if (rejected.size > mostBlamed) return [refused(gateway, waypoint, message)];
  const conditions = [...rejected].flatMap(([name, text]) => {
    const origins = store.get(waypoint, type, name)?.origins ?? [];
    return (origins.length === 0 ? [gateway] : origins).map((resource) => refused(resource, waypoint, text));
  });
  return [...new Map(conditions.map((item) => [JSON.stringify(item), item])).values()];
}

function refused(resource: string, waypoint: string, message: string): Condition {
  return {
    resource,
    type: 'Programmed',
    reason: 'Invalid',
    message: `the waypoint ${waypoint} refuses it, and what was in force before stays so: ${message}`,
  };
}
