import type { AccessLogSchema } from '../proto/gen/envoy-api/envoy/config/accesslog/v3/accesslog_pb.ts';
import {
  ComparisonFilter_Op as Compare,
  GrpcStatusFilter_Status as Status,
} from '../proto/gen/envoy-api/envoy/config/accesslog/v3/accesslog_pb.ts';
import type { SubstitutionFormatStringSchema } from '../proto/gen/envoy-api/envoy/config/core/v3/substitution_format_string_pb.ts';
import { StdoutAccessLogSchema } from '../proto/gen/envoy-api/envoy/extensions/access_loggers/stream/v3/stream_pb.ts';
import { labelOperator } from '../config/access-log-format.ts';
import { allOf, anyOf, atEnd, callsOfGrpc, found } from './log-filters.ts';
import type { LogFilter } from './log-filters.ts';
import { labelsOf } from './metrics/labels.ts';
import type { TrafficLabels } from './metrics/labels.ts';
import type { AccessLogFormat, AccessLogSettings } from './model.ts';
import { findings, findingText } from './security/findings.ts';
import type { Carried } from './security/findings.ts';
import { fraction, typed } from './values.ts';
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

/** As Istio's proxies write it, one line for requests and connections. */
const line =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n';

/** What is told when it has ended, as the settings say; with their usual keys, and both ends as metrics name them. */
export function accessLogs(
  settings: AccessLogSettings | null,
  carried: Carried,
  traffic: TrafficLabels,
): Init<typeof AccessLogSchema>[] {
  if (settings === null) return [];
  const labels = Object.fromEntries(labelsOf(traffic));
  const log = typed('envoy.access_loggers.stdout', StdoutAccessLogSchema, {
    accessLogFormat: { case: 'logFormat', value: formatOf(settings.format, carried, labels) },
  });
  const filters = [
    ...(carried === 'connections' ? [atEnd] : []),
    ...(settings.sampling === 100 ? [] : [sampled(settings.sampling, carried)]),
  ];
  const [first, ...others] = filters;
  if (first === undefined) return [log];
  return [{ ...log, filter: others.length === 0 ? first : allOf(first, ...others) }];
}

type Labels = Readonly<Record<string, string>>;

function formatOf(
  format: AccessLogFormat,
  carried: Carried,
  labels: Labels,
): Init<typeof SubstitutionFormatStringSchema> {
  if (format.kind === 'text') {
    const inlineString = format.line === null ? line : `${withLabels(format.line, labels).replace(/\n$/, '')}\n`;
    const specifier = { case: 'inlineString' as const, value: inlineString };
    const written = { case: 'textFormatSource' as const, value: { specifier } };
    return { format: written };
  }
  const fields = format.fields === null ? usual(carried, labels) : mapped(format.fields, labels);
  const object = { case: 'jsonFormat' as const, value: { ...fields } };
  return { format: object };
}

function mapped(fields: Labels, labels: Labels): Labels {
  const entries = Object.entries(fields);
  return Object.fromEntries(entries.map(([name, value]): [string, string] => [name, withLabels(value, labels)]));
}

function usual(carried: Carried, labels: Labels): Readonly<Record<string, string>> {
  const told = Object.values(findings).map(({ key, finding }) => [key, findingText(carried, finding)] as const);
  return { ...(carried === 'requests' ? ofRequests : common), ...labels, ...Object.fromEntries(told) };
}

function withLabels(format: string, labels: Labels): string {
  return format.replaceAll(
    new RegExp(`%${labelOperator}\\((\\w+)\\)(?::\\d+)?%`, 'g'),
    (_, name: string) => labels[name] ?? '-',
  );
}

/** All that did not end well or is audited, and so many of the others. */
function sampled(percent: number, carried: Carried): LogFilter {
  const flagged: LogFilter = { filterSpecifier: { case: 'responseFlagFilter', value: {} } };
  const share: LogFilter = {
    filterSpecifier: {
      case: 'runtimeFilter',
      value: { runtimeKey: 'ambit.access_log', percentSampled: fraction(percent), useIndependentRandomness: true },
    },
  };
  const failed = carried === 'requests' ? [refused, allOf(callsOfGrpc, notOk)] : [];
  return anyOf(flagged, ...failed, found(carried, findings.audit.finding), share);
}

/** The status, or none because the client went away first. */
const refused: LogFilter = {
  filterSpecifier: {
    case: 'statusCodeFilter',
    value: { comparison: { op: Compare.GE, value: { defaultValue: 400, runtimeKey: 'ambit.access_log.status' } } },
  },
};

const notOk: LogFilter = {
  filterSpecifier: { case: 'grpcStatusFilter', value: { statuses: [Status.OK], exclude: true } },
};
