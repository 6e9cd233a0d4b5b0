import { create, toBinary } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import {
  FilterChainSchema,
  FilterSchema,
} from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import type { Filter, FilterChain } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { HttpConnectionManagerSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { resourceTypes } from './resource-types.ts';
import { securityMark } from './security-mark.ts';
import { waypointResource } from './waypoint-resource.ts';
import type { WaypointResource } from './waypoint-resource.ts';

/** A chain, and what is asked of those who come by it. @param mark of another security than its own */
export function chainResource(
  chain: FilterChain,
  origins: readonly string[],
  mark = securityMark(securityOfChain(chain)),
): WaypointResource {
  return waypointResource(resourceTypes.filterChains, FilterChainSchema, chain.name, chain, origins, mark);
}

/** What a chain asks of those who come by it, but for TLS. */
export function securityOfChain({ filters }: FilterChain): readonly Uint8Array[] {
  return filters.map(securityOf);
}

const nothing = new Uint8Array();

/** Of what speaks HTTP its filters, which ask for tokens and others’ word; of what carries bytes each but those that carry and name. */
function securityOf(filter: Filter): Uint8Array {
  const any = filter.configType.case === 'typedConfig' ? filter.configType.value : undefined;
  const manager = any === undefined ? undefined : anyUnpack(any, HttpConnectionManagerSchema);
  if (manager !== undefined) {
    const { httpFilters } = manager;
    return toBinary(HttpConnectionManagerSchema, create(HttpConnectionManagerSchema, { httpFilters }));
  }
  return asksNothing.has(filter.name) ? nothing : toBinary(FilterSchema, filter);
}

const asksNothing: ReadonlySet<string> = new Set([
  'envoy.filters.network.tcp_proxy',
  'envoy.filters.network.set_filter_state',
]);
