import { create } from '@bufbuild/protobuf';
import { FilterChainSchema } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import type { FilterChain } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { TcpProxySchema } from '../proto/gen/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { missingCluster, statisticsName } from './names.ts';
import { typed } from './values.ts';

/** Stands in for a chain that Envoy refuses: each connection is closed at once. */
export function closedChain(name: string): FilterChain {
  const filter = typed('envoy.filters.network.tcp_proxy', TcpProxySchema, {
    statPrefix: statisticsName(name),
    clusterSpecifier: { case: 'cluster', value: missingCluster },
  });
  return create(FilterChainSchema, { name, filters: [filter] });
}
