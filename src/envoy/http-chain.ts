import type { FilterChainSchema } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { CorsSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/http/cors/v3/cors_pb.ts';
import { HTTPFaultSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/http/fault/v3/fault_pb.ts';
import { FilterConfigSchema as GrpcStatsSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/http/grpc_stats/v3/config_pb.ts';
import { RouterSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/http/router/v3/router_pb.ts';
import {
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
  HttpConnectionManagerSchema,
} from '../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import type { HttpFilterSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { accessLogs } from './access-log.ts';
import type { HttpSettings } from './model.ts';
import { statisticsName } from './names.ts';
import { connectionStateFilter } from './peer.ts';
import type { ChainTelemetry } from './metrics/chain.ts';
import { grpcStatsFilter, requestMetrics } from './metrics/traffic-metrics.ts';
import { policyMetrics } from './metrics/policy-metrics.ts';
import type { AccessPolicy } from './security/model.ts';
import { aggregated, duration, typed } from './values.ts';
import type { Init } from './values.ts';

export const corsFilter = 'envoy.filters.http.cors';
export const faultFilter = 'envoy.filters.http.fault';

const hour = 3_600_000;
/** A client that says its headers more slowly than this only holds memory. */
const headersTime = 30_000;
/** As a stock waypoint: enough for one client, and a client that wants more opens another connection. */
const maximumStreams = 1024;

export interface HttpChainSettings {
  readonly http: HttpSettings;
  readonly telemetry: ChainTelemetry;
  /** The name of its routes, and of its statistics. */
  readonly routes: string;
  /** Whether clients may speak gRPC. */
  readonly grpc: boolean;
  /** What comes before all that shapes traffic. */
  readonly security: readonly HttpFilter[];
  /** Of these what those find is counted that only tell. */
  readonly watched: readonly AccessPolicy[];
}

type HttpFilter = Init<typeof HttpFilterSchema>;
type ConnectionManager = Init<typeof HttpConnectionManagerSchema>;

/**
 * Filters of one address and port that speaks HTTP.
 *
 * @param otherwise what is not as at a waypoint, field by field
 */
export function httpChain(
  name: string,
  settings: HttpChainSettings,
  otherwise: ConnectionManager = {},
): Init<typeof FilterChainSchema> {
  const manager = { ...connectionManager(settings), ...otherwise };
  return {
    name,
    filters: [
      connectionStateFilter(settings.telemetry),
      typed('envoy.filters.network.http_connection_manager', HttpConnectionManagerSchema, manager),
    ],
  };
}

function connectionManager(settings: HttpChainSettings): ConnectionManager {
  const { http, telemetry, routes, grpc, security, watched } = settings;
  return {
    statPrefix: statisticsName(routes),
    routeSpecifier: { case: 'rds', value: { configSource: aggregated(), routeConfigName: routes } },
    httpFilters: [...security, ...trafficFilters(grpc)],
    accessLog: [
      ...requestMetrics(telemetry.labels, grpc),
      ...policyMetrics(watched, 'requests', telemetry.labels),
      ...accessLogs(http.accessLog, 'requests', telemetry.labels),
    ],
    // WebSocket, over HTTP/2 too, where it is a CONNECT.
    upgradeConfigs: [{ upgradeType: 'websocket' }],
    ...limits(http),
    ...trust(http),
    ...paths(http),
    // The application's own words stay its own.
    serverHeaderTransformation: ServerHeader.PASS_THROUGH,
    proxy100Continue: true,
  };
}

function trafficFilters(grpc: boolean): HttpFilter[] {
  // Messages are counted with the labels of both ends (./metrics); statistics of each method, which clients name, would be without bound.
  const counting = typed(grpcStatsFilter, GrpcStatsSchema, {
    emitFilterState: true,
    perMethodStatSpecifier: { case: 'statsForAllMethods', value: { value: false } },
  });
  return [
    ...(grpc ? [counting] : []),
    typed(corsFilter, CorsSchema),
    typed(faultFilter, HTTPFaultSchema),
    typed('envoy.filters.http.router', RouterSchema),
  ];
}

/** Of everything that a client can make grow or wait. Streams may be quiet for long: gRPC watches and WebSockets are. */
function limits({ headers }: HttpSettings): ConnectionManager {
  return {
    streamIdleTimeout: duration(hour),
    requestHeadersTimeout: duration(headersTime),
    maxRequestHeadersKb: headers.kibibytes,
    commonHttpProtocolOptions: { idleTimeout: duration(hour), maxHeadersCount: headers.count },
    http2ProtocolOptions: { maxConcurrentStreams: maximumStreams, allowConnect: true },
  };
}

/**
 * Envoy takes whoever has such an address for one of its own kind, and does what its `x-envoy-` headers say; of no range at all it makes
 * all private addresses. So this is one that no client can have.
 */
const nobodysAddress = { addressPrefix: '255.255.255.255', prefixLen: 32 };

/** The client is who the header of its connection names, and its own `x-envoy-` headers command nothing. */
function trust(settings: HttpSettings): ConnectionManager {
  return {
    useRemoteAddress: true,
    xffNumTrustedHops: settings.trustedProxies,
    internalAddressConfig: { unixSockets: false, cidrRanges: [nobodysAddress] },
    preserveExternalRequestId: true,
  };
}

function paths({ pathNormalization }: HttpSettings): ConnectionManager {
  return {
    normalizePath: pathNormalization !== 'none',
    mergeSlashes: pathNormalization === 'merge-slashes' || pathNormalization === 'decode-and-merge-slashes',
    pathWithEscapedSlashesAction:
      pathNormalization === 'decode-and-merge-slashes'
        ? EscapedSlashes.UNESCAPE_AND_FORWARD
        : EscapedSlashes.KEEP_UNCHANGED,
  };
}
