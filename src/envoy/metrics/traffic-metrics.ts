import type { AccessLogSchema } from '../../proto/gen/envoy-api/envoy/config/accesslog/v3/accesslog_pb.ts';
import {
  Config_Histogram_Unit as Unit,
  ConfigSchema as StatsLogSchema,
} from '../../proto/gen/envoy-api/envoy/extensions/access_loggers/stats/v3/stats_pb.ts';
import type {
  Config_CounterSchema,
  Config_HistogramSchema,
} from '../../proto/gen/envoy-api/envoy/extensions/access_loggers/stats/v3/stats_pb.ts';
import type { ScopeSchema } from '../../proto/gen/envoy-api/envoy/type/v3/scope_pb.ts';
import { allOf, atConnect, atEnd, callsOfGrpc } from '../log-filters.ts';
import type { LogFilter } from '../log-filters.ts';
import { typed } from '../values.ts';
import type { Init } from '../values.ts';
import { grpcStatus, requestProtocol } from './label-rules.ts';
import type { Tag } from './label-rules.ts';
import { serviceLabels } from './labels.ts';
import type { Label, TrafficLabels } from './labels.ts';
import { grpcCalls, messagesLabel } from './names.ts';

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

/** Of their own: calls of many lengths must take no place from the others. */
const boundsOfCalls: Init<typeof ScopeSchema> = {
  maxCounters: 4_000,
  enableEviction: true,
  sharingName: 'ambit-grpc-calls',
};

/** The name of the filter is also that of what it finds. */
export const grpcStatsFilter = 'envoy.filters.http.grpc_stats';

type AccessLog = Init<typeof AccessLogSchema>;
type Counter = Init<typeof Config_CounterSchema>;
type Histogram = Init<typeof Config_HistogramSchema>;

/**
 * Counts requests when they have ended.
 *
 * @param grpc clients may speak gRPC, whose messages count too
 */
export function requestMetrics(labels: TrafficLabels, grpc: boolean): readonly AccessLog[] {
  return grpc ? [ofRequests(labels), ofMessages(labels)] : [ofRequests(labels)];
}

const ofRequests = madeOnce((labels): AccessLog => {
  const tags = requestTags(labels);
  return statsLog({
    counters: [one('istio_requests_total', tags)],
    histograms: [
      histogram('istio_request_duration_milliseconds', Unit.Milliseconds, '%DURATION%', tags),
      histogram('istio_request_bytes', Unit.Bytes, '%DOWNSTREAM_WIRE_BYTES_RECEIVED%', tags),
      histogram('istio_response_bytes', Unit.Bytes, '%DOWNSTREAM_WIRE_BYTES_SENT%', tags),
    ],
  });
});

/**
 * Envoy knows how many messages a call had only as a text of both numbers, `3,1`, and takes no such text for a value. So calls are
 * counted, by that text among their labels, and whoever reads the page multiplies.
 */
const ofMessages = madeOnce((labels): AccessLog => {
  const messages = fixed([messagesLabel, `%FILTER_STATE(${grpcStatsFilter}:PLAIN)%`]);
  const calls = one(grpcCalls, [...requestTags(labels), messages]);
  return { ...statsLog({ counters: [calls] }, boundsOfCalls), filter: callsOfGrpc };
});

/** Counts connections; their bytes when they have ended. */
export const connectionMetrics = madeOnce((labels): readonly AccessLog[] => {
  const tags = connectionTags(labels);
  const opened = statsLog({ counters: [one('istio_tcp_connections_opened_total', tags)] });
  const ended = statsLog({
    counters: [
      one('istio_tcp_connections_closed_total', tags),
      sum('istio_tcp_received_bytes_total', '%BYTES_RECEIVED%', tags),
      sum('istio_tcp_sent_bytes_total', '%BYTES_SENT%', tags),
    ],
  });
  return [
    { ...opened, filter: atConnect },
    { ...opened, filter: allOf(atEnd, neverConnected) },
    { ...ended, filter: atEnd },
  ];
});

/** Counts one for each entry of a log that the filter lets in. */
export function counterLog(name: string, tags: readonly Tag[], filter: LogFilter): AccessLog {
  return { ...statsLog({ counters: [one(name, tags)] }), filter };
}

/** All chains of services have the same labels, and a thousand chains need not make the same ten kilobytes each. */
function madeOnce<Made>(make: (labels: TrafficLabels) => Made): (labels: TrafficLabels) => Made {
  const made = new WeakMap<TrafficLabels, Made>();
  return (labels) => {
    const known = made.get(labels) ?? make(labels);
    made.set(labels, known);
    return known;
  };
}

function requestTags(labels: TrafficLabels): readonly Tag[] {
  return [...commonTags(labels), requestProtocol, fixed(['response_code', '%RESPONSE_CODE%']), grpcStatus];
}

function connectionTags(labels: TrafficLabels): readonly Tag[] {
  return [...commonTags(labels), fixed(['request_protocol', 'tcp'])];
}

function commonTags(labels: TrafficLabels): readonly Tag[] {
  const reporter: Label = ['reporter', labels.reporter];
  const flags: Label = ['response_flags', '%RESPONSE_FLAGS%'];
  return [reporter, ...labels.source, ...labels.destination, ...serviceLabels, flags, labels.security].map(fixed);
}

function fixed([name, valueFormat]: Label): Tag {
  return { name, valueFormat };
}

function statsLog(metrics: { counters: Counter[]; histograms?: Histogram[] }, statsScope = bounds): AccessLog {
  return typed('envoy.access_loggers.stats', StatsLogSchema, { statsScope, ...metrics });
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
const neverConnected: LogFilter = {
  filterSpecifier: { case: 'responseFlagFilter', value: { flags: ['UF', 'UH', 'UO', 'NR', 'NC'] } },
};
