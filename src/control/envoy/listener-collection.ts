import { ageOrder } from '../../config/manifests/age.ts';
import type { CollectionGraph } from '../../derive/collections/collection-graph.ts';
import type { DerivedCollection } from '../../derive/collections/derived-collection.ts';
import { condition } from '../../derive/context.ts';
import { limited } from '../../derive/limited.ts';
import { beyondLimits, entranceLimits, withClosed } from '../../envoy/entrance-limits.ts';
import { entranceOf, workloadEntrances } from '../../envoy/entrances.ts';
import type { Entrance } from '../../envoy/entrances.ts';
import { buildListener } from '../../envoy/listener.ts';
import type { Condition } from '../../model/workload.ts';
import type { WorkloadsAtWaypoint } from './bound-workloads.ts';
import type { WaypointResources } from './destinations.ts';
import { listenerResource } from './listener-resource.ts';
import type { ConnectedService, OwnAddresses } from './own-addresses.ts';

export interface ListenerInputs {
  readonly connected: DerivedCollection<ConnectedService>;
  readonly workloads: DerivedCollection<WorkloadsAtWaypoint>;
  readonly own: OwnAddresses;
}

interface EntranceAtWaypoint {
  readonly waypoint: string;
  readonly entrance: Entrance;
  /** Whose it is, as conditions name it. */
  readonly resource: string;
  /** Of those of one namespace the lesser comes first. */
  readonly order: string;
}

/** One for each waypoint, made anew for services and workloads that come and go. */
export function createListeners(
  graph: CollectionGraph,
  { connected, workloads, own }: ListenerInputs,
): DerivedCollection<WaypointResources> {
  const services = graph.derive<ConnectedService, EntranceAtWaypoint>({
    name: 'services of listeners',
    from: connected,
    reads: own.collections,
    compute: ({ waypoint, service, claim, origins }, read) => {
      const addresses = own.ofService(waypoint, service, read);
      const [resource = ''] = origins;
      return { waypoint, entrance: entranceOf({ ...service, addresses }), resource, order: ageOrder(claim) };
    },
  });
  const servicesAt = services.index(({ waypoint }) => [waypoint]);
  const workloadsAt = workloads.index(({ waypoint }) => [waypoint]);
  return graph.group<WaypointResources>({
    name: 'listeners of waypoints',
    from: [servicesAt, workloadsAt],
    ofMembers: true,
    compute: (waypoint, read) => {
      const direct = workloadEntrances(read.byIndex(workloadsAt, waypoint).flatMap((item) => item.workloads));
      return listenerOf(waypoint, [
        ...read.byIndex(servicesAt, waypoint),
        ...direct.map((entrance) => directAt(waypoint, entrance)),
      ]);
    },
  });
}

/** Workloads come and go: what asks about them comes after the services of their namespace. */
function directAt(waypoint: string, entrance: Entrance): EntranceAtWaypoint {
  return { waypoint, entrance, resource: `Gateway ${waypoint}`, order: `~~/${entrance.addresses[0] ?? ''}` };
}

function listenerOf(waypoint: string, all: readonly EntranceAtWaypoint[]): WaypointResources | undefined {
  const [own = ''] = waypoint.split('/');
  const asking = all.filter(({ entrance }) => entrance.asked > 0).toSorted(inOrder);
  const closed = beyondLimits(asking.map(entranceIn), own);
  const listener = buildListener(withClosed(all.map(entranceIn), closed));
  if (listener === null) return undefined;
  return {
    waypoint,
    resources: [listenerResource(listener, [`Gateway ${waypoint}`])],
    conditions: limited(all.filter(({ entrance }) => closed.has(entrance)).map(tooMuch)),
  };
}

function entranceIn({ entrance }: EntranceAtWaypoint): Entrance {
  return entrance;
}

function inOrder(left: EntranceAtWaypoint, right: EntranceAtWaypoint): number {
  return left.order < right.order ? -1 : 1;
}

function tooMuch({ waypoint, entrance, resource }: EntranceAtWaypoint): Condition {
  const { each, all } = entranceLimits;
  const message = `its policies and rules for connections ask ${entrance.asked} things of those who connect, and the waypoint ${waypoint} has room for ${each} of each and ${all} in all, for its own namespace first and then for each other one the same: connections there that carry no requests are refused`;
  return condition(resource, 'Accepted', 'TooManyRules', message);
}
