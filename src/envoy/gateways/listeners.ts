import { create } from '@bufbuild/protobuf';
import { SocketAddress_Protocol as Protocol } from '../../proto/gen/envoy-api/envoy/config/core/v3/address_pb.ts';
import { TrafficDirection } from '../../proto/gen/envoy-api/envoy/config/core/v3/base_pb.ts';
import { ListenerSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { Listener } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { ListenerFilterSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { ProxyProtocolSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.ts';
import { TlsInspectorSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts';
import { byNothing, byServerName, byTransport, toChain } from '../chain-matcher.ts';
import type { Branch, Tree } from '../chain-matcher.ts';
import { gatewayTelemetry } from '../metrics/chain.ts';
import { policyLookup } from '../policies.ts';
import { duration, typed } from '../values.ts';
import type { Init } from '../values.ts';
import { gatewayDestinations } from './destinations.ts';
import { bufferLimit, connectionWindow, firstBytesTime, idleTime, maximumStreams } from './limits.ts';
import type { ConnectionSite, GatewayInput, GatewayPort, HttpSite, TlsServer } from './model.ts';
import { closedChain, listenerName, quicListenerName } from './names.ts';
import { quicPortOf } from './quic.ts';
import { connectionChains, connectionEntrance, quicChain, requestChain } from './site-chains.ts';
import type { Chain, SiteContext } from './site-chains.ts';
import { tlsProblem } from './tls-problem.ts';

/** What listeners are made from besides their port. */
export type ListenerSurroundings = Pick<GatewayInput, 'destinations' | 'http' | 'labels'>;

/**
 * The listeners of a port: one, two with HTTP/3, none where nothing is served there. Their chains are written into them, and Envoy
 * replaces those alone that have changed: connections of others stay.
 */
export function buildPortListeners(port: GatewayPort, surroundings: ListenerSurroundings): readonly Listener[] {
  const context: SiteContext = {
    http: surroundings.http,
    telemetry: gatewayTelemetry(surroundings.labels),
    policies: policyLookup(gatewayDestinations(surroundings.destinations)),
  };
  const plan = planOf(port, context);
  const quic = quicPlan(port, context);
  return [...(plan === null ? [] : [tcpListener(port, plan)]), ...(quic === null ? [] : [quicListener(port, quic)])];
}

interface ListenerPlan {
  readonly chains: readonly Chain[];
  readonly tree: Tree;
  /** The first bytes of TLS are looked at. */
  readonly inspectsTls: boolean;
}

/** Never a way around what a server closes: a name of its own leads nowhere rather than to a server of more names. */
const closed: Chain = { name: closedChain };

/** null: nothing is served. */
function planOf({ serves }: GatewayPort, context: SiteContext): ListenerPlan | null {
  switch (serves.kind) {
    case 'http':
      return planRequests(serves.site, context);
    case 'tcp':
      return planConnections(serves.site, context);
    case 'tls':
      return planServers(serves.servers, context);
  }
}

function planRequests(site: HttpSite, context: SiteContext): ListenerPlan {
  return { chains: [requestChain(site, null, context)], tree: byNothing(toChain(site.name)), inspectsTls: false };
}

function planConnections(site: ConnectionSite, context: SiteContext): ListenerPlan | null {
  if (site.connections.length === 0) return null;
  const { branch, readsNames } = connectionEntrance(site);
  return {
    chains: [...connectionChains(site, null, context), closed],
    tree: byNothing(branch),
    inspectsTls: readsNames,
  };
}

function planServers(servers: readonly TlsServer[], context: SiteContext): ListenerPlan | null {
  if (servers.length === 0) return null;
  const chains = servers.flatMap((server) => serverChains(server, context));
  const tree = byTransport('tls', byServerName(branchesOf(servers, serverBranch), toChain(closedChain)));
  return { chains: [...chains, closed], tree, inspectsTls: true };
}

/** Whether Envoy would take it; if not it is closed, whatever its name. */
function isSound({ tls }: TlsServer): boolean {
  return tls === null || tlsProblem(tls) === null;
}

function serverChains(server: TlsServer, context: SiteContext): readonly Chain[] {
  if (!isSound(server)) return [];
  const { serves, tls } = server;
  return serves.kind === 'tcp'
    ? connectionChains(serves.site, tls, context)
    : [requestChain(serves.site, tls, context)];
}

function serverBranch(server: TlsServer): Branch {
  if (!isSound(server)) return toChain(closedChain);
  const { serves } = server;
  return serves.kind === 'http' ? toChain(serves.site.name) : connectionEntrance(serves.site).branch;
}

/** By the servers' names; the first server of a name has it. */
function branchesOf(
  servers: readonly TlsServer[],
  branchOf: (server: TlsServer) => Branch,
): ReadonlyMap<string, Branch> {
  const branches = new Map<string, Branch>();
  for (const server of servers) {
    const branch = branchOf(server);
    for (const name of server.serverNames) if (!branches.has(name)) branches.set(name, branch);
  }
  return branches;
}

/** null: no HTTP/3. */
function quicPlan(port: GatewayPort, context: SiteContext): Omit<ListenerPlan, 'inspectsTls'> | null {
  if (port.serves.kind !== 'tls') return null;
  const { servers } = port.serves;
  const chains = servers.flatMap(({ tls, serves }) =>
    tls !== null && serves.kind === 'http' && quicPortOf(port, tls) !== null
      ? [quicChain(serves.site, tls, context)]
      : [],
  );
  if (chains.length === 0) return null;
  const names = new Set(chains.map(({ name }) => name));
  const branchOf = ({ serves: { site } }: TlsServer): Branch => toChain(names.has(site.name) ? site.name : closedChain);
  const tree = byTransport('quic', byServerName(branchesOf(servers, branchOf), toChain(closedChain)));
  return { chains, tree };
}

type ListenerInit = Init<typeof ListenerSchema>;

function tcpListener(port: GatewayPort, { chains, tree, inspectsTls }: ListenerPlan): Listener {
  return create(ListenerSchema, {
    name: listenerName(port),
    ...common(port, Protocol.TCP),
    listenerFilters: [
      ...(port.proxyProtocol ? [clientHeader()] : []),
      ...(inspectsTls ? [typed('envoy.filters.listener.tls_inspector', TlsInspectorSchema)] : []),
    ],
    listenerFiltersTimeout: duration(firstBytesTime),
    // Who says neither the header nor the name in time has none.
    continueOnListenerFiltersTimeout: false,
    perConnectionBufferLimitBytes: bufferLimit,
    filterChains: [...chains],
    filterChainMatcher: tree,
  });
}

function quicListener(port: GatewayPort, { chains, tree }: Omit<ListenerPlan, 'inspectsTls'>): Listener {
  return create(ListenerSchema, {
    name: quicListenerName(port),
    ...common(port, Protocol.UDP),
    udpListenerConfig: {
      downstreamSocketConfig: {},
      quicOptions: {
        quicProtocolOptions: {
          maxConcurrentStreams: maximumStreams,
          initialStreamWindowSize: bufferLimit,
          initialConnectionWindowSize: connectionWindow,
        },
        idleTimeout: duration(idleTime),
      },
    },
    // The closed chain is not among them, for over QUIC each needs a certificate; a name of no chain leads nowhere as well.
    filterChains: [...chains],
    filterChainMatcher: tree,
  });
}

function common({ number, hasIpv6 }: GatewayPort, protocol: Protocol): ListenerInit {
  const portSpecifier = { case: 'portValue' as const, value: number };
  // One socket for both families: clients of IPv4 keep their own addresses. A kernel without IPv6 has no such socket to give.
  const everywhere = hasIpv6 ? { address: '::', ipv4Compat: true } : { address: '0.0.0.0' };
  const value = { protocol, ...everywhere, portSpecifier };
  return { address: { address: { case: 'socketAddress', value } }, trafficDirection: TrafficDirection.OUTBOUND };
}

/**
 * Either version of the header, and no connection without one. What else a header says is not kept: who is trusted to say where a client
 * comes from is not trusted to say who it is.
 */
function clientHeader(): Init<typeof ListenerFilterSchema> {
  return typed('envoy.filters.listener.proxy_protocol', ProxyProtocolSchema);
}
