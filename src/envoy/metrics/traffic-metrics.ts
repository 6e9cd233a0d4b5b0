import type {
  AccessLogFilterSchema,
  AccessLogSchema,
} from '../../proto/gen/envoy-api/envoy/config/accesslog/v3/accesslog_pb.ts';
import { AccessLogType } from '../../proto/gen/envoy-api/envoy/data/accesslog/v3/accesslog_pb.ts';
import {
  Config_Histogram_Unit as Unit,
  ConfigSchema as StatsLogSchema,
} from '../../proto/gen/envoy-api/envoy/extensions/access_loggers/stats/v3/stats_pb.ts';
import type {
  Config_CounterSchema,
  Config_HistogramSchema,
} from '../../proto/gen/envoy-api/envoy/extensions/access_loggers/stats/v3/stats_pb.ts';
import type { ScopeSchema } from '../../proto/gen/envoy-api/envoy/type/v3/scope_pb.ts';
import { typed } from '../values.ts';
import type { Init } from '../values.ts';
import { grpcStatus, requestProtocol } from './label-rules.ts';
import type { Tag } from './label-rules.ts';
import { connectionSecurity, serviceLabels, sourceLabels } from './labels.ts';
import type { Label } from './labels.ts';

/**
 * Envoy's `stats` access logger counts what Istio's own proxies count, under the same names and labels. Labels name workloads,
 * never addresses or paths. The bound is for all chains together: a set of labels takes 20 KB of memory and 50 KB of a page. What
 * is beyond is not told apart any more, but counted in `server.stats_overflow`.
 */
const bounds: Init<typeof ScopeSchema> = {
  maxCounters: 10_000,
  maxHistograms: 3_000,
  enableEviction: true,
  sharingName: 'ambit-traffic',
};

type AccessLog = Init<typeof AccessLogSchema>;
type Filter = Init<typeof AccessLogFilterSchema>;
type Counter = Init<typeof Config_CounterSchema>;
type Histogram = Init<typeof Config_HistogramSchema>;

/** Counts requests when they have ended. @param destination labels of the workload that was sent to */
export const requestMetrics = madeOnce((destination: readonly Label[]): AccessLog => {
  const tags = requestTags(destination);
  return statsLog({
    counters: [one('istio_requests_total', tags)],
    histograms: [
      histogram('istio_request_duration_milliseconds', Unit.Milliseconds, '%DURATION%', tags),
      histogram('istio_request_bytes', Unit.Bytes, '%DOWNSTREAM_WIRE_BYTES_RECEIVED%', tags),
      histogram('istio_response_bytes', Unit.Bytes, '%DOWNSTREAM_WIRE_BYTES_SENT%', tags),
    ],
  });
});

/** Counts connections; their bytes when they have ended. */
export const connectionMetrics = madeOnce((destination: readonly Label[]): readonly AccessLog[] => {
  const tags = connectionTags(destination);
  const opened = statsLog({ counters: [one('istio_tcp_connections_opened_total', tags)] });
  const ended = statsLog({
    counters: [
      one('istio_tcp_connections_closed_total', tags),
      sum('istio_tcp_received_bytes_total', '%BYTES_RECEIVED%', tags),
      sum('istio_tcp_sent_bytes_total', '%BYTES_SENT%', tags),
    ],
  });
  return [
    { ...opened, filter: atMoment(AccessLogType.TcpUpstreamConnected) },
    { ...opened, filter: allOf(atMoment(AccessLogType.TcpConnectionEnd), neverConnected) },
    { ...ended, filter: atMoment(AccessLogType.TcpConnectionEnd) },
  ];
});

/** All chains of services have the same labels, and a thousand chains need not make the same ten kilobytes each. */
function madeOnce<Made>(make: (destination: readonly Label[]) => Made): (destination: readonly Label[]) => Made {
  const made = new WeakMap<readonly Label[], Made>();
  return (destination) => {
    const known = made.get(destination) ?? make(destination);
    made.set(destination, known);
    return known;
  };
}

function requestTags(destination: readonly Label[]): readonly Tag[] {
  return [...commonTags(destination), requestProtocol, fixed(['response_code', '%RESPONSE_CODE%']), grpcStatus];
}

function connectionTags(destination: readonly Label[]): readonly Tag[] {
  return [...commonTags(destination), fixed(['request_protocol', 'tcp'])];
}

function commonTags(destination: readonly Label[]): readonly Tag[] {
  const reporter: Label = ['reporter', 'waypoint'];
  const flags: Label = ['response_flags', '%RESPONSE_FLAGS%'];
  return [reporter, ...sourceLabels, ...destination, ...serviceLabels, flags, connectionSecurity].map(fixed);
}

function fixed([name, valueFormat]: Label): Tag {
  return { name, valueFormat };
}

function statsLog(metrics: { counters: Counter[]; histograms?: Histogram[] }): AccessLog {
  return typed('envoy.access_loggers.stats', StatsLogSchema, { statsScope: bounds, ...metrics });
}

function one(name: string, tags: readonly Tag[]): Counter {
  return { stat: { name, tags: [...tags] }, valueFixed: 1n };
}

function sum(name: string, valueFormat: string, tags: readonly Tag[]): Counter {
  return { stat: { name, tags: [...tags] }, valueFormat };
}

function histogram(name: string, unit: Unit, valueFormat: string, tags: readonly Tag[]): Histogram {
  return { stat: { name, tags: [...tags] }, unit, valueFormat };
}

/** No endpoint, none that answers, too many connections, or no cluster. */
const neverConnected: Filter = {
  filterSpecifier: { case: 'responseFlagFilter', value: { flags: ['UF', 'UH', 'UO', 'NR', 'NC'] } },
};

function atMoment(type: AccessLogType): Filter {
  return { filterSpecifier: { case: 'logTypeFilter', value: { types: [type] } } };
}

function allOf(...filters: Filter[]): Filter {
  return { filterSpecifier: { case: 'andFilter', value: { filters } } };
}
