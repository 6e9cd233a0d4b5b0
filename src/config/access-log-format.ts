/** Operators of Envoy that a log of waypoints may have, and nothing else: others would name files, or make Envoy refuse the log. */

const plain: ReadonlySet<string> = new Set([
  ...['START_TIME', 'EMIT_TIME', 'PROTOCOL', 'ACCESS_LOG_TYPE', 'HOSTNAME', 'CONNECTION_ID', 'STREAM_ID'],
  ...['DURATION', 'REQUEST_DURATION', 'RESPONSE_DURATION', 'RESPONSE_TX_DURATION'],
  ...['RESPONSE_CODE', 'RESPONSE_CODE_DETAILS', 'RESPONSE_FLAGS', 'RESPONSE_FLAGS_LONG', 'GRPC_STATUS_NUMBER'],
  ...['CONNECTION_TERMINATION_DETAILS', 'UPSTREAM_TRANSPORT_FAILURE_REASON', 'UPSTREAM_REQUEST_ATTEMPT_COUNT'],
  ...['BYTES_RECEIVED', 'BYTES_SENT', 'UPSTREAM_WIRE_BYTES_RECEIVED', 'UPSTREAM_WIRE_BYTES_SENT'],
  ...['DOWNSTREAM_WIRE_BYTES_RECEIVED', 'DOWNSTREAM_WIRE_BYTES_SENT'],
  ...['REQUEST_HEADERS_BYTES', 'RESPONSE_HEADERS_BYTES', 'RESPONSE_TRAILERS_BYTES'],
  ...['UPSTREAM_HOST', 'UPSTREAM_CLUSTER', 'UPSTREAM_CLUSTER_RAW', 'UPSTREAM_LOCAL_ADDRESS', 'UPSTREAM_REMOTE_ADDRESS'],
  ...['DOWNSTREAM_LOCAL_ADDRESS', 'DOWNSTREAM_LOCAL_PORT', 'DOWNSTREAM_REMOTE_ADDRESS', 'DOWNSTREAM_REMOTE_PORT'],
  ...['DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT', 'DOWNSTREAM_DIRECT_REMOTE_ADDRESS', 'REQUESTED_SERVER_NAME'],
  ...['ROUTE_NAME', 'VIRTUAL_CLUSTER_NAME', 'GRPC_STATUS'],
]);

/** Of a header, or of another one where that is not there. */
const ofHeaders: ReadonlySet<string> = new Set(['REQ', 'RESP', 'TRAILER']);
const headers = /^:?[A-Za-z0-9_-]{1,128}(\?:?[A-Za-z0-9_-]{1,128})?$/;
/** Whoever reads a log must not be able to ask in another's name. */
const secret = /(^|\?)(authorization|proxy-authorization|cookie|set-cookie)($|\?)/i;

/** Names that metrics have, too: `%LABEL(source_workload)%`. */
export const labelOperator = 'LABEL';
const ofWorkloads = [
  ...['workload', 'workload_namespace', 'principal', 'app', 'version', 'cluster'],
  ...['canonical_service', 'canonical_revision'],
];
export const logLabels: ReadonlySet<string> = new Set([
  ...ofWorkloads.map((name) => `source_${name}`),
  ...ofWorkloads.map((name) => `destination_${name}`),
  ...['destination_service', 'destination_service_name', 'destination_service_namespace', 'connection_security_policy'],
]);

const operator = /%(?:%|([A-Z][A-Z0-9_]*)(?:\(([^()%\n]*)\))?(?::\d{1,4})?%)/g;

/** What is wrong with a format, for whoever wrote it. */
export function formatMistakes(format: string): readonly string[] {
  const mistakes = [...format.matchAll(operator)].flatMap(([whole, name, parameter]) =>
    name === undefined ? [] : (mistakeOf(whole, name, parameter) ?? []),
  );
  return format.replaceAll(operator, '').includes('%')
    ? [...mistakes, 'has a % that begins no operator: write %% for the character itself']
    : mistakes;
}

function mistakeOf(whole: string, name: string, parameter: string | undefined): string | null {
  if (ofHeaders.has(name)) return headerMistake(whole, parameter ?? '');
  if (name === labelOperator) {
    return logLabels.has(parameter ?? '') ? null : `${whole} names no label: there are ${[...logLabels].join(', ')}`;
  }
  if (!plain.has(name)) return `${whole} is none of the operators that are allowed: ${known()}`;
  return parameter === undefined ? null : `${whole} takes no parameter`;
}

function headerMistake(whole: string, parameter: string): string | null {
  if (!headers.test(parameter)) return `${whole} names no header`;
  return secret.test(parameter) ? `${whole} would write secrets into the log` : null;
}

function known(): string {
  return [...plain, ...[...ofHeaders].map((name) => `${name}(HEADER)`), `${labelOperator}(LABEL)`].join(', ');
}
