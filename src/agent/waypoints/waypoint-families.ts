/** What the agent's page has of its waypoints, by name. Names and labels are Istio's where Istio has the metric. */
export const waypointFamilies = {
  istio_requests_total: 'Requests, HTTP and gRPC',
  istio_request_duration_milliseconds: 'From the first byte of a request to the last of its response',
  istio_request_bytes: 'Size of requests, headers and body',
  istio_response_bytes: 'Size of responses, headers and body',
  istio_request_messages_total: 'Messages of gRPC from clients, by service',
  istio_response_messages_total: 'Messages of gRPC from servers, by service',
  istio_tcp_connections_opened_total: 'Connections that are no HTTP, opened',
  istio_tcp_connections_closed_total: 'Connections that are no HTTP, closed',
  istio_tcp_received_bytes_total: 'Bytes from their clients, counted when a connection has ended',
  istio_tcp_sent_bytes_total: 'Bytes from their servers, likewise',
  ambit_rate_limit_requests_total: 'Requests that RateLimitPolicies have looked at, and what became of them',
  ambit_waypoint_series_overflow_total: 'Counts that a waypoint no longer tells apart: it has too many sets of labels',
} as const satisfies Record<string, string>;

export type WaypointFamily = keyof typeof waypointFamilies;

/** Names in Envoy's statistics of what is called otherwise here. */
const otherNames: Readonly<Record<string, WaypointFamily>> = {
  cluster_grpc_request_message_count: 'istio_request_messages_total',
  cluster_grpc_response_message_count: 'istio_response_messages_total',
  http_local_rate_limit_ok: 'ambit_rate_limit_requests_total',
  http_local_rate_limit_enforced: 'ambit_rate_limit_requests_total',
  server_stats_overflow_counter: 'ambit_waypoint_series_overflow_total',
  server_stats_overflow_histogram: 'ambit_waypoint_series_overflow_total',
};

/** Regular expression of the statistics that Envoy is asked for. */
export const wantedStatistics = [
  '^istio_',
  '^server\\.stats_overflow\\.(counter|histogram)$',
  '\\.grpc\\.(request|response)_message_count$',
  '\\.http_local_rate_limit\\.(ok|enforced)$',
].join('|');

/** @param name as Envoy's page says it; null: none that is wanted */
export function familyOf(name: string): WaypointFamily | null {
  const own = name.replace(/^envoy_/, '');
  if (Object.hasOwn(waypointFamilies, own)) return own as WaypointFamily;
  return otherNames[own] ?? null;
}
