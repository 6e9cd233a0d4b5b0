import { toBinary } from '@bufbuild/protobuf';
import { gatesOf } from '../../envoy/gated-listener.ts';
import { ListenerSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { Listener } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import { Matcher_OnMatchSchema } from '../../proto/gen/envoy-api/xds/type/matcher/v3/matcher_pb.ts';
import type { Matcher_OnMatch } from '../../proto/gen/envoy-api/xds/type/matcher/v3/matcher_pb.ts';
import { shortHash } from '../resources/encoded-resource.ts';
import { resourceTypes } from './resource-types.ts';
import { securityMark } from './security-mark.ts';
import { waypointResource } from './waypoint-resource.ts';
import type { WaypointResource } from './waypoint-resource.ts';

/** A listener, and who may connect. @param mark of other gates than its own */
export function listenerResource(
  listener: Listener,
  origins: readonly string[],
  mark = securityMark(gatesOf(listener).map(hashOf)),
): WaypointResource {
  return waypointResource(resourceTypes.listeners, ListenerSchema, listener.name, listener, origins, mark);
}

/** Gates are long, and each is the same message in the next listener, too, unless it has changed. */
const hashes = new WeakMap<Matcher_OnMatch, Buffer>();

function hashOf(gate: Matcher_OnMatch): Buffer {
  const known = hashes.get(gate) ?? Buffer.from(shortHash(toBinary(Matcher_OnMatchSchema, gate)));
  hashes.set(gate, known);
  return known;
}
