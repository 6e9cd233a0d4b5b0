import type { AccessLogSchema } from '../proto/gen/envoy-api/envoy/config/accesslog/v3/accesslog_pb.ts';
import { StdoutAccessLogSchema } from '../proto/gen/envoy-api/envoy/extensions/access_loggers/stream/v3/stream_pb.ts';
import { connectionSecurity, serviceLabels, sourceLabels } from './metrics/labels.ts';
import type { Label } from './metrics/labels.ts';
import { typed } from './values.ts';
import type { Init } from './values.ts';

const common = {
  start_time: '%START_TIME%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  route_name: '%ROUTE_NAME%',
  ...Object.fromEntries([...sourceLabels, ...serviceLabels, connectionSecurity]),
};

const ofRequests = {
  ...common,
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  response_code: '%RESPONSE_CODE%',
  grpc_status: '%GRPC_STATUS_NUMBER%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
  user_agent: '%REQ(USER-AGENT)%',
  request_id: '%REQ(X-REQUEST-ID)%',
  authority: '%REQ(:AUTHORITY)%',
};

/** One line of JSON when it has ended, with the keys that Istio's JSON has, and both ends as metrics name them; or nothing. */
export function accessLogs(
  wanted: boolean,
  of: 'requests' | 'connections',
  destination: readonly Label[],
): Init<typeof AccessLogSchema>[] {
  if (!wanted) return [];
  const value = { ...(of === 'requests' ? ofRequests : common), ...Object.fromEntries(destination) };
  const format = { case: 'jsonFormat' as const, value };
  return [
    typed('envoy.access_loggers.stdout', StdoutAccessLogSchema, {
      accessLogFormat: { case: 'logFormat', value: { format } },
    }),
  ];
}
