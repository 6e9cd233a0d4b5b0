import { parseAddress } from '../model/address.ts';
import type { Family } from '../model/address.ts';
import type { Workload } from '../model/workload.ts';
import type { Endpoint } from '../native/binding.ts';
import type { EndpointSetDraft } from './endpoint-selection.ts';
import type { MeshView } from './mesh-view.ts';
import { whyNotStraight } from './outside.ts';
import type { OutsideReason } from './outside.ts';
import { asking, isPodOf, mayGoPast, waypointEndpoints, waypointsBefore } from './waypoints.ts';

/** Beyond it shares are rounded: they need not be exact to many digits. */
const LARGEST_SCALE = 1000;

/** An endpoint, and what stands for it in the set. */
interface Stretch {
  readonly endpoint: Endpoint;
  readonly ways: readonly Endpoint[];
  /** What the ways depend on beside the endpoint. */
  readonly by: string;
  /** Why there is none; null: nobody is refused the endpoint. */
  readonly refused: OutsideReason | null;
}

export interface WaysDraft extends EndpointSetDraft {
  /** Why an endpoint was left out; null: none was. */
  readonly refused: OutsideReason | null;
}

/**
 * The endpoints of a service that has no waypoint of its own, each by way of the waypoint that it has itself and takes
 * nothing past. A stock client goes straight there, and is refused: see `required`.
 */
export function throughWaypoints(view: MeshView, source: Workload, draft: EndpointSetDraft, family: Family): WaysDraft {
  const stretches = draft.endpoints.map((endpoint) => stretchOf(view, source, endpoint, family));
  const by = [...new Set(stretches.map((stretch) => stretch.by))].filter((part) => part !== '').sort();
  const refused = stretches.find((stretch) => stretch.refused !== null)?.refused ?? null;
  if (by.length === 0) return { ...draft, refused };
  const scale = Math.min(LARGEST_SCALE, stretches.map(({ ways }) => ways.length).reduce(leastCommonMultiple, 1));
  const endpoints = stretches.flatMap((stretch) => shared(stretch, scale));
  return { id: [draft.id, ...by].join('/through/'), endpoints, refused };
}

/** The workload takes nothing past its waypoint, and the source is none that stands before it. */
export function hasToGoThrough(view: MeshView, source: Workload, workload: Workload): boolean {
  if (workload.waypoint === null) return false;
  return !waypointsBefore(view, workload).some((waypoint) => isPodOf(view, source, waypoint));
}

function stretchOf(view: MeshView, source: Workload, endpoint: Endpoint, family: Family): Stretch {
  const open = { endpoint, ways: [endpoint], by: '', refused: null };
  const workload = view.workload(endpoint.workload);
  if (workload === null) return open;
  const address = parseAddress(endpoint.address);
  const refused = address === null ? null : whyNotStraight(view, source, workload, address);
  const { waypoint } = workload;
  if (waypoint !== null && (waypoint.required || refused === 'waypoint_required')) {
    if (!hasToGoThrough(view, source, workload)) return { ...open, by: `from/${source.uid}` };
    const { id, endpoints } = waypointEndpoints(view, source, waypoint, family);
    const goesPast = endpoints.length === 0 && refused === null && mayGoPast(view, waypoint);
    const authority = { address: endpoint.address, port: endpoint.port };
    return { ...open, ways: goesPast ? [endpoint] : asking(endpoints, authority), by: id };
  }
  return refused === null ? open : { ...open, ways: [], by: `from/${source.uid}`, refused };
}

/** The replicas of its waypoint share what would go to the endpoint. */
function shared({ endpoint, ways }: Stretch, scale: number): readonly Endpoint[] {
  const weight = Math.max(1, Math.round((endpoint.weight * scale) / Math.max(1, ways.length)));
  return ways.map((way) => ({ ...way, weight }));
}

function leastCommonMultiple(left: number, right: number): number {
  if (right === 0) return left;
  let [divisor, rest] = [left, right];
  while (rest !== 0) [divisor, rest] = [rest, divisor % rest];
  return (left / divisor) * right;
}
