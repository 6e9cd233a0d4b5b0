import { createRegistry } from '@bufbuild/protobuf';
import type { Registry } from '@bufbuild/protobuf';
import { file_google_protobuf_wrappers } from '@bufbuild/protobuf/wkt';
import { file_envoy_extensions_access_loggers_stats_v3_stats } from '../proto/gen/envoy-api/envoy/extensions/access_loggers/stats/v3/stats_pb.ts';
import { file_envoy_extensions_access_loggers_stream_v3_stream } from '../proto/gen/envoy-api/envoy/extensions/access_loggers/stream/v3/stream_pb.ts';
import { file_envoy_extensions_filters_http_cors_v3_cors } from '../proto/gen/envoy-api/envoy/extensions/filters/http/cors/v3/cors_pb.ts';
import { file_envoy_extensions_filters_http_ext_authz_v3_ext_authz } from '../proto/gen/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts';
import { file_envoy_extensions_filters_network_ext_authz_v3_ext_authz } from '../proto/gen/envoy-api/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.ts';
import { file_envoy_extensions_filters_http_fault_v3_fault } from '../proto/gen/envoy-api/envoy/extensions/filters/http/fault/v3/fault_pb.ts';
import { file_envoy_extensions_filters_http_grpc_stats_v3_config } from '../proto/gen/envoy-api/envoy/extensions/filters/http/grpc_stats/v3/config_pb.ts';
import { file_envoy_extensions_filters_http_jwt_authn_v3_config } from '../proto/gen/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts';
import { file_envoy_extensions_filters_http_local_ratelimit_v3_local_rate_limit } from '../proto/gen/envoy-api/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts';
import { file_envoy_extensions_filters_http_rbac_v3_rbac } from '../proto/gen/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts';
import { file_envoy_extensions_filters_http_router_v3_router } from '../proto/gen/envoy-api/envoy/extensions/filters/http/router/v3/router_pb.ts';
import { file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector } from '../proto/gen/envoy-api/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.ts';
import { file_envoy_extensions_filters_listener_proxy_protocol_v3_proxy_protocol } from '../proto/gen/envoy-api/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.ts';
import { file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector } from '../proto/gen/envoy-api/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts';
import { file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager } from '../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { file_envoy_extensions_filters_network_rbac_v3_rbac } from '../proto/gen/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts';
import { file_envoy_extensions_filters_network_set_filter_state_v3_set_filter_state } from '../proto/gen/envoy-api/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state_pb.ts';
import { file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy } from '../proto/gen/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { file_envoy_extensions_transport_sockets_quic_v3_quic_transport } from '../proto/gen/envoy-api/envoy/extensions/transport_sockets/quic/v3/quic_transport_pb.ts';
import { file_envoy_extensions_transport_sockets_tls_v3_tls } from '../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import { file_envoy_extensions_upstreams_http_v3_http_protocol_options } from '../proto/gen/envoy-api/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts';
import { file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts } from '../proto/gen/envoy-api/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.ts';
import { file_envoy_extensions_retry_priority_previous_priorities_v3_previous_priorities_config } from '../proto/gen/envoy-api/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.ts';
import { file_envoy_extensions_matching_actions_transform_stat_v3_transform_stat } from '../proto/gen/envoy-api/envoy/extensions/matching/actions/transform_stat/v3/transform_stat_pb.ts';
import { file_envoy_extensions_matching_common_inputs_stats_v3_stats } from '../proto/gen/envoy-api/envoy/extensions/matching/common_inputs/stats/v3/stats_pb.ts';
import { file_envoy_extensions_matching_input_matchers_ip_v3_ip } from '../proto/gen/envoy-api/envoy/extensions/matching/input_matchers/ip/v3/ip_pb.ts';
import { file_envoy_extensions_matching_common_inputs_network_v3_network_inputs } from '../proto/gen/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.ts';

/** Everything that our resources hold in an `Any`, for whoever prints or reads them as JSON. */
export const envoyTypes: Registry = createRegistry(
  file_google_protobuf_wrappers,
  file_envoy_extensions_access_loggers_stats_v3_stats,
  file_envoy_extensions_access_loggers_stream_v3_stream,
  file_envoy_extensions_filters_http_cors_v3_cors,
  file_envoy_extensions_filters_http_ext_authz_v3_ext_authz,
  file_envoy_extensions_filters_network_ext_authz_v3_ext_authz,
  file_envoy_extensions_filters_http_fault_v3_fault,
  file_envoy_extensions_filters_http_grpc_stats_v3_config,
  file_envoy_extensions_filters_http_jwt_authn_v3_config,
  file_envoy_extensions_filters_http_local_ratelimit_v3_local_rate_limit,
  file_envoy_extensions_filters_http_rbac_v3_rbac,
  file_envoy_extensions_filters_http_router_v3_router,
  file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector,
  file_envoy_extensions_filters_listener_proxy_protocol_v3_proxy_protocol,
  file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector,
  file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager,
  file_envoy_extensions_filters_network_rbac_v3_rbac,
  file_envoy_extensions_filters_network_set_filter_state_v3_set_filter_state,
  file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy,
  file_envoy_extensions_transport_sockets_quic_v3_quic_transport,
  file_envoy_extensions_transport_sockets_tls_v3_tls,
  file_envoy_extensions_upstreams_http_v3_http_protocol_options,
  file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts,
  file_envoy_extensions_retry_priority_previous_priorities_v3_previous_priorities_config,
  file_envoy_extensions_matching_common_inputs_network_v3_network_inputs,
  file_envoy_extensions_matching_input_matchers_ip_v3_ip,
  file_envoy_extensions_matching_common_inputs_stats_v3_stats,
  file_envoy_extensions_matching_actions_transform_stat_v3_transform_stat,
);
