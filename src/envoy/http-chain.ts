import type { FilterChainSchema } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { CorsSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/http/cors/v3/cors_pb.ts';
import { HTTPFaultSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/http/fault/v3/fault_pb.ts';
import { RouterSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/http/router/v3/router_pb.ts';
import {
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
  HttpConnectionManagerSchema,
} from '../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import type { HttpFilterSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { accessLogs } from './access-log.ts';
import type { HttpSettings } from './model.ts';
import { peerStateFilter } from './peer.ts';
import { aggregated, duration, typed } from './values.ts';
import type { Init } from './values.ts';

export const corsFilter = 'envoy.filters.http.cors';
export const faultFilter = 'envoy.filters.http.fault';

const hour = 3_600_000;
/** A client that says its headers more slowly than this only holds memory. */
const headersTime = 30_000;
const maximumHeaders = 100;
const maximumHeadersKiB = 60;
/** As a stock waypoint: enough for one client, and a client that wants more opens another connection. */
const maximumStreams = 1024;

/** Filters of one address and port that speaks HTTP; its routes come by the chain's own name. */
export function httpChain(name: string, settings: HttpSettings): Init<typeof FilterChainSchema> {
  return {
    name,
    filters: [
      peerStateFilter(),
      typed(
        'envoy.filters.network.http_connection_manager',
        HttpConnectionManagerSchema,
        connectionManager(name, settings),
      ),
    ],
  };
}

type ConnectionManager = Init<typeof HttpConnectionManagerSchema>;

function connectionManager(name: string, settings: HttpSettings): ConnectionManager {
  return {
    statPrefix: name,
    routeSpecifier: { case: 'rds', value: { configSource: aggregated(), routeConfigName: name } },
    httpFilters: httpFilters(),
    accessLog: accessLogs(settings.accessLog, 'requests'),
    // WebSocket, over HTTP/2 too, where it is a CONNECT.
    upgradeConfigs: [{ upgradeType: 'websocket' }],
    ...limits(),
    ...trust(settings),
    ...paths(settings),
    // The application's own words stay its own.
    serverHeaderTransformation: ServerHeader.PASS_THROUGH,
    proxy100Continue: true,
  };
}

function httpFilters(): Init<typeof HttpFilterSchema>[] {
  return [
    typed(corsFilter, CorsSchema),
    typed(faultFilter, HTTPFaultSchema),
    typed('envoy.filters.http.router', RouterSchema),
  ];
}

/** Of everything that a client can make grow or wait. Streams may be quiet for long: gRPC watches and WebSockets are. */
function limits(): ConnectionManager {
  return {
    streamIdleTimeout: duration(hour),
    requestHeadersTimeout: duration(headersTime),
    maxRequestHeadersKb: maximumHeadersKiB,
    commonHttpProtocolOptions: { idleTimeout: duration(hour), maxHeadersCount: maximumHeaders },
    http2ProtocolOptions: { maxConcurrentStreams: maximumStreams, allowConnect: true },
  };
}

/** The client is who the header of its connection names, and its own `x-envoy-` headers command nothing. */
function trust(settings: HttpSettings): ConnectionManager {
  return {
    useRemoteAddress: true,
    xffNumTrustedHops: settings.trustedProxies,
    internalAddressConfig: { unixSockets: false, cidrRanges: [] },
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
