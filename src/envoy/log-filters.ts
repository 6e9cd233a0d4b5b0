import type { AccessLogFilterSchema } from '../proto/gen/envoy-api/envoy/config/accesslog/v3/accesslog_pb.ts';
import { AccessLogType } from '../proto/gen/envoy-api/envoy/data/accesslog/v3/accesslog_pb.ts';
import { findingsOf } from './security/findings.ts';
import type { Carried } from './security/findings.ts';
import type { Init } from './values.ts';

/** Which requests and connections a log, or a metric, is told of. */
export type LogFilter = Init<typeof AccessLogFilterSchema>;

export function allOf(...filters: LogFilter[]): LogFilter {
  return { filterSpecifier: { case: 'andFilter', value: { filters } } };
}

export function anyOf(...filters: LogFilter[]): LogFilter {
  return { filterSpecifier: { case: 'orFilter', value: { filters } } };
}

/** Those of which a policy's rules have found something. */
export function found(carried: Carried, finding: string): LogFilter {
  const matcher = {
    filter: findingsOf[carried],
    path: [{ segment: { case: 'key' as const, value: finding } }],
    value: { matchPattern: { case: 'presentMatch' as const, value: true } },
  };
  return { filterSpecifier: { case: 'metadataFilter', value: { matcher, matchIfKeyNotFound: false } } };
}

const saysGrpc = {
  case: 'stringMatch',
  value: { matchPattern: { case: 'prefix', value: 'application/grpc' }, ignoreCase: true },
} as const;

/** By what the request says it carries. */
export const callsOfGrpc: LogFilter = {
  filterSpecifier: {
    case: 'headerFilter',
    value: { header: { name: 'content-type', headerMatchSpecifier: saysGrpc } },
  },
};

/** Connections of bytes are told of twice. */
export const atConnect = atMoment(AccessLogType.TcpUpstreamConnected);
export const atEnd = atMoment(AccessLogType.TcpConnectionEnd);

function atMoment(type: AccessLogType): LogFilter {
  return { filterSpecifier: { case: 'logTypeFilter', value: { types: [type] } } };
}
