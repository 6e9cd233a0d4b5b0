import { serviceLabels, trafficLabelNames } from '../../envoy/metrics/labels.ts';
import { auditDecisions, dryRunDecisions, grpcCalls, messagesLabel } from '../../envoy/metrics/names.ts';

/** What the agent's page has of its waypoints and gateways, by name. Names and labels are Istio's where Istio has the metric. */
export const waypointFamilies = {
  istio_requests_total: 'Requests, HTTP and gRPC',
  istio_request_duration_milliseconds: 'From the first byte of a request to the last of its response',
  istio_request_bytes: 'Size of requests, headers and body',
  istio_response_bytes: 'Size of responses, headers and body',
  istio_request_messages_total: 'Messages of gRPC from clients, counted when their call has ended',
  istio_response_messages_total: 'Messages of gRPC from servers, likewise',
  istio_tcp_connections_opened_total: 'Connections that are no HTTP, opened',
  istio_tcp_connections_closed_total: 'Connections that are no HTTP, closed',
  istio_tcp_received_bytes_total: 'Bytes from their clients, counted when a connection has ended',
  istio_tcp_sent_bytes_total: 'Bytes from their servers, likewise',
  ambit_rate_limit_requests_total: 'Requests that RateLimitPolicies have looked at, and what became of them',
  ambit_waypoint_audited_total: 'Requests and connections that policies of action AUDIT name',
  ambit_waypoint_dry_run_total: 'Requests and connections that policies with the annotation of a dry run looked at',
  ambit_waypoint_series_overflow_total:
    'Counts that a waypoint or gateway no longer tells apart: it has too many sets of labels',
} as const satisfies Record<string, string>;

export type WaypointFamily = keyof typeof waypointFamilies;
export type FamilyType = 'counter' | 'histogram';

/** A family of Envoy's page, and what it may say. */
export interface EnvoyFamily {
  readonly type: FamilyType;
  /** `calls`: of these the families of messages are made. */
  readonly shown: WaypointFamily | 'calls';
  /** Labels that a sample may have, each at most once. */
  readonly labels: ReadonlySet<string>;
  /** Stands in place of the labels that Envoy gives. */
  readonly constant: string | null;
}

const ofTraffic: ReadonlySet<string> = new Set(trafficLabelNames);
const ofPolicies: ReadonlySet<string> = new Set([
  ...['reporter', 'policy', 'action', 'result', 'request_protocol'],
  ...serviceLabels.map(([name]) => name),
]);
const ofLimits: ReadonlySet<string> = new Set(['envoy_local_http_ratelimit_prefix']);
const none: ReadonlySet<string> = new Set();

/** By the name on Envoy's page, without `envoy_`. */
const families: Readonly<Record<string, EnvoyFamily>> = {
  istio_requests_total: traffic('counter', 'istio_requests_total'),
  istio_request_duration_milliseconds: traffic('histogram', 'istio_request_duration_milliseconds'),
  istio_request_bytes: traffic('histogram', 'istio_request_bytes'),
  istio_response_bytes: traffic('histogram', 'istio_response_bytes'),
  istio_tcp_connections_opened_total: traffic('counter', 'istio_tcp_connections_opened_total'),
  istio_tcp_connections_closed_total: traffic('counter', 'istio_tcp_connections_closed_total'),
  istio_tcp_received_bytes_total: traffic('counter', 'istio_tcp_received_bytes_total'),
  istio_tcp_sent_bytes_total: traffic('counter', 'istio_tcp_sent_bytes_total'),
  [grpcCalls]: counter('calls', new Set([...ofTraffic, messagesLabel])),
  [auditDecisions]: counter('ambit_waypoint_audited_total', ofPolicies),
  [dryRunDecisions]: counter('ambit_waypoint_dry_run_total', ofPolicies),
  http_local_rate_limit_ok: counter('ambit_rate_limit_requests_total', ofLimits, 'result="let_through"'),
  http_local_rate_limit_enforced: counter('ambit_rate_limit_requests_total', ofLimits, 'result="refused"'),
  server_stats_overflow_counter: counter('ambit_waypoint_series_overflow_total', none, 'kind="counter"'),
  server_stats_overflow_histogram: counter('ambit_waypoint_series_overflow_total', none, 'kind="histogram"'),
};

/** Regular expression of the statistics that Envoy is asked for. */
export const wantedStatistics = [
  '^istio_',
  `^(${grpcCalls}|${auditDecisions}|${dryRunDecisions})`,
  '^server\\.stats_overflow\\.(counter|histogram)$',
  '\\.http_local_rate_limit\\.(ok|enforced)$',
].join('|');

/** @param name as Envoy's page says it; null: none that is wanted */
export function familyOf(name: string): EnvoyFamily | null {
  const own = name.replace(/^envoy_/, '');
  return Object.hasOwn(families, own) ? (families[own] ?? null) : null;
}

function traffic(type: FamilyType, shown: WaypointFamily): EnvoyFamily {
  return { type, shown, labels: ofTraffic, constant: null };
}

function counter(
  shown: EnvoyFamily['shown'],
  labels: ReadonlySet<string>,
  constant: string | null = null,
): EnvoyFamily {
  return { type: 'counter', shown, labels, constant };
}
