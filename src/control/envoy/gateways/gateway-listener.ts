import { create, toBinary } from '@bufbuild/protobuf';
import { FilterChainSchema } from '../../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import type { FilterChain } from '../../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { Listener } from '../../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import { securityOfChain } from '../chain-resource.ts';
import { resourceTypes } from '../resource-types.ts';
import { securityMark } from '../security-mark.ts';
import { waypointResource } from '../waypoint-resource.ts';
import type { WaypointResource } from '../waypoint-resource.ts';

/** A listener with chains of its own, and who may connect by each, with which certificate. @param mark of another security than its own */
export function gatewayListener(
  listener: Listener,
  origins: readonly string[],
  mark = securityMark(listener.filterChains.flatMap(askedBy)),
): WaypointResource {
  return waypointResource(resourceTypes.listeners, ListenerSchema, listener.name, listener, origins, mark);
}

function askedBy(chain: FilterChain): readonly Uint8Array[] {
  const { name, transportSocket } = chain;
  const tls = transportSocket === undefined ? {} : { transportSocket };
  return [...securityOfChain(chain), toBinary(FilterChainSchema, create(FilterChainSchema, { name, ...tls }))];
}
