import type { FilterChainSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { HttpProtocolOptions_HeadersWithUnderscoresAction as Underscores } from '../../proto/gen/envoy-api/envoy/config/core/v3/protocol_pb.ts';
import {
  HttpConnectionManager_CodecType as CodecType,
  HttpConnectionManager_ForwardClientCertDetails as ForwardedCertificate,
} from '../../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import type { HttpConnectionManagerSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { toChain } from '../chain-matcher.ts';
import type { Branch } from '../chain-matcher.ts';
import { choose, named, tcpTargets } from '../connection-plan.ts';
import { httpChain } from '../http-chain.ts';
import type { ChainTelemetry } from '../metrics/chain.ts';
import type { HttpSettings } from '../model.ts';
import type { PolicyLookup } from '../policies.ts';
import { connectionFilters } from '../security/connection-rules.ts';
import { requestFilters } from '../security/request-filters.ts';
import { asksForServerName } from '../security/server-names.ts';
import { gateTcp, refusingChains, tcpChain } from '../tcp-chain.ts';
import { duration } from '../values.ts';
import type { Init } from '../values.ts';
import { bufferLimit, connectionWindow, handshakeTime, idleTime, maximumStreams } from './limits.ts';
import type { ConnectionSite, HttpSite, ServerTls } from './model.ts';
import { closedChain } from './names.ts';
import { quicSocket, tlsSocket } from './tls-context.ts';

export type Chain = Init<typeof FilterChainSchema>;

/** What chains of all sites of a gateway have in common. */
export interface SiteContext {
  readonly http: HttpSettings;
  readonly telemetry: ChainTelemetry;
  /** Of everything that may be sent to. */
  readonly policies: PolicyLookup;
}

type ConnectionManager = Init<typeof HttpConnectionManagerSchema>;

/** @param tls null: in clear text */
export function requestChain(site: HttpSite, tls: ServerTls | null, context: SiteContext): Chain {
  const chain = managed(site, context, fromClients(tls));
  return tls === null ? chain : { ...chain, ...secured(tlsSocket(tls, 'requests')) };
}

/** The same over QUIC. */
export function quicChain(site: HttpSite, tls: ServerTls, context: SiteContext): Chain {
  const codec: ConnectionManager = {
    codecType: CodecType.HTTP3,
    http3ProtocolOptions: { allowExtendedConnect: true },
  };
  return { ...managed(site, context, { ...fromClients(tls), ...codec }), transportSocket: quicSocket(tls) };
}

function managed({ name, security }: HttpSite, context: SiteContext, otherwise: ConnectionManager): Chain {
  const { http, telemetry, policies } = context;
  const settings = {
    http,
    telemetry,
    routes: name,
    grpc: true,
    security: requestFilters(security, policies, 'address'),
    watched: security.policies,
  };
  return httpChain(name, settings, { ...edge(http), ...otherwise });
}

/** Where clients are anybody. Streams may still be quiet for an hour: gRPC watches and WebSockets are. */
function edge({ headers }: HttpSettings): ConnectionManager {
  return {
    commonHttpProtocolOptions: {
      idleTimeout: duration(idleTime),
      maxHeadersCount: headers.count,
      // Many an application reads `x_user` as `x-user`, which policies, routes and trusted proxies speak of.
      headersWithUnderscoresAction: Underscores.DROP_HEADER,
    },
    http2ProtocolOptions: {
      maxConcurrentStreams: maximumStreams,
      initialStreamWindowSize: bufferLimit,
      initialConnectionWindowSize: connectionWindow,
      allowConnect: true,
    },
    // Whoever reads logs and traces goes by it, so it is not the client's to choose.
    preserveExternalRequestId: false,
  };
}

/** What is said of a client's certificate behind the gateway is the gateway's word alone, in the form that Istio's gateways give it. */
function fromClients(tls: ServerTls | null): ConnectionManager {
  if (tls === null || tls.clients === null) return {};
  return {
    forwardClientCertDetails: ForwardedCertificate.SANITIZE_SET,
    setCurrentClientCertDetails: { subject: true, cert: true, dns: true, uri: true },
  };
}

function secured(transportSocket: NonNullable<Chain['transportSocket']>): Partial<Chain> {
  return { transportSocket, transportSocketConnectTimeout: duration(handshakeTime) };
}

/** Where connections go that are for the site. */
export interface ConnectionEntrance {
  readonly branch: Branch;
  /** The name that a client of TLS asks for has to be read first. */
  readonly readsNames: boolean;
}

export function connectionEntrance({ name, connections, security }: ConnectionSite): ConnectionEntrance {
  const closed = toChain(closedChain);
  if (connections.length === 0) return { branch: closed, readsNames: false };
  const { branch, readsNames } = choose(named(connections, name), closed);
  const { policies } = security;
  return { branch: gateTcp(name, branch, policies), readsNames: readsNames || policies.some(asksForServerName) };
}

/** The chains that the site's entrance leads to. @param tls null: bytes are carried as they come */
export function connectionChains(site: ConnectionSite, tls: ServerTls | null, context: SiteContext): readonly Chain[] {
  const { name: base, connections, security } = site;
  const { http, telemetry, policies } = context;
  const settings = { accessLog: http.accessLog, telemetry };
  const chains = named(connections, base).map(({ rule: { targets }, name }) => ({
    ...tcpChain(name, tcpTargets(targets), {
      ...settings,
      policies: targets.flatMap(({ destination }) => policies(destination) ?? []),
      security: connectionFilters(security.policies, { statPrefix: base, destinations: policies, clients: 'address' }),
      watched: security.policies,
    }),
    ...(tls === null ? {} : secured(tlsSocket(tls, 'bytes'))),
  }));
  return connections.length === 0 ? [] : [...chains, ...refusingChains(base, security.policies, settings)];
}
