import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import type { DerivedWorkloads } from '../../derive/service-entry-endpoints.ts';
import type { BoundWorkload, DestinationName } from '../../envoy/model.ts';
import type { AppProtocol, Workload } from '../../model/workload.ts';
import type { HostChoice } from './host-choice.ts';
import { isMeantBy, securityWithMeantOnly } from './meant-destinations.ts';
import type { MeshLookups } from './mesh-lookups.ts';
import type { OwnAddresses } from './own-addresses.ts';
import type { SecurityParts } from './security-parts.ts';
import { placeKey, waypointKey } from './waypoint-places.ts';
import type { WaypointPlaces } from './waypoint-places.ts';
import { workloadLabels } from './workload-labels.ts';

/** The workloads whose own addresses are reached through a waypoint. */
export interface WorkloadsAtWaypoint {
  readonly waypoint: string;
  readonly workloads: readonly BoundWorkload[];
}

interface BoundWorkloadInputs {
  readonly lookups: MeshLookups;
  readonly choice: HostChoice;
  readonly places: WaypointPlaces;
  readonly security: SecurityParts;
  readonly own: OwnAddresses;
}

/** By the place of the waypoint. */
export function createBoundWorkloads(
  { graph, services, workloads: { pods, external } }: DerivationParts,
  { lookups, choice, places, security, own }: BoundWorkloadInputs,
): DerivedCollection<WorkloadsAtWaypoint> {
  const podsAt = pods.index(({ workload }) => placesOf([workload]));
  const externalAt = external.map((collection) => collection.index(({ workloads }) => placesOf(workloads)));
  return graph.group<WorkloadsAtWaypoint>({
    name: 'workloads at waypoints',
    from: [podsAt, ...externalAt],
    ofMembers: true,
    reads: [...choice.collections, ...security.collections, ...own.collections, services.hostnames],
    compute: (place, read) => {
      const here = [
        ...read.byIndex(podsAt, place).map(({ workload }) => workload),
        ...membersAt(externalAt, place, read),
      ].filter(({ waypoint }) => waypoint !== null && placeKey(waypoint) === place);
      const [first] = here;
      const waypoint = first?.waypoint == null ? null : places.at(first.waypoint, read);
      if (waypoint === null) return undefined;
      const isMeant = (name: DestinationName): boolean => {
        const known = choice.at(waypointKey(waypoint), name.hostname, read);
        return known === undefined || isMeantBy(name, known);
      };
      return {
        waypoint: waypointKey(waypoint),
        workloads: here.map((workload) => ({
          ...bound(workload, lookups, read),
          addresses: own.ofWorkload(waypointKey(waypoint), workload, read),
          security: securityWithMeantOnly(security.ofWorkload(workload, waypoint, read), isMeant),
        })),
      };
    },
  });
}

function membersAt(
  indexes: readonly CollectionIndex<DerivedWorkloads>[],
  place: string,
  read: Read,
): readonly Workload[] {
  return indexes.flatMap((index) => read.byIndex(index, place)).flatMap(({ workloads }) => workloads);
}

function placesOf(workloads: readonly Workload[]): readonly string[] {
  return [...new Set(workloads.flatMap(({ waypoint }) => (waypoint === null ? [] : [placeKey(waypoint)])))];
}

/** A port speaks what a service that leads to it says. */
function bound(workload: Workload, lookups: MeshLookups, read: Read): Pick<BoundWorkload, 'protocols' | 'labels'> {
  const protocols = new Map<number, AppProtocol>();
  for (const [key, ports] of [...workload.services].sort(([left], [right]) => (left < right ? -1 : 1))) {
    const [namespace = '', hostname = ''] = key.split('/');
    const source = lookups.sourcesOf(hostname, read).find(({ service }) => service.namespace === namespace);
    for (const [port, target] of ports) {
      const spoken = source?.service.appProtocols.get(port);
      if (spoken !== undefined && !protocols.has(target)) protocols.set(target, spoken);
    }
  }
  return { protocols, labels: workloadLabels(workload) };
}
