import { fromBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';

import { resourceTypes } from '../../../src/control/envoy/resource-types.ts';
import type { WaypointStore } from '../../../src/control/envoy/waypoint-store.ts';
import { ClusterSchema } from '../../../src/proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../../src/proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import { FilterChainSchema } from '../../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import { RouteConfigurationSchema } from '../../../src/proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { DeltaDiscoveryResponseSchema } from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { resourcesJson } from './static-bootstrap.ts';
import type { ResourcesJson } from './static-bootstrap.ts';

/** What the control plane would send to the Envoys of a waypoint, read back from its bytes. @param waypoint `namespace/name` */
export function derivedResources(store: WaypointStore, waypoint: string): ResourcesJson {
  const all = <Schema extends DescMessage>(
    type: keyof typeof resourceTypes,
    schema: Schema,
  ): readonly MessageShape<Schema>[] =>
    store.all(waypoint, resourceTypes[type]).map(({ entry }) => {
      const { resources } = fromBinary(DeltaDiscoveryResponseSchema, Buffer.from(entry, 'latin1'));
      return fromBinary(schema, resources[0]?.resource?.value ?? new Uint8Array());
    });
  return resourcesJson({
    clusters: all('clusters', ClusterSchema),
    endpoints: all('endpoints', ClusterLoadAssignmentSchema),
    listeners: all('listeners', ListenerSchema),
    filterChains: all('filterChains', FilterChainSchema),
    routes: all('routes', RouteConfigurationSchema),
  });
}
