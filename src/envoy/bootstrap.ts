import type { JsonObject } from '@bufbuild/protobuf';

/**
 * What an Envoy of a waypoint knows before it has met the control plane, and how it is called: one way for whoever starts it, in
 * a cluster or on one machine. It holds no secret and names no peer: the node's engine vouches for the pod.
 */

/** In the pod's namespace, on loopback: only the node's agent may dial it. */
export const adminPort = 15000;
/** `GET /healthz/ready` on any address of the pod: 200 once the control plane's listeners and clusters are in force. */
export const readinessPort = 15021;
export const readinessPath = '/healthz/ready';

/** Nobody's addresses: the engine takes what is sent there to the control plane of the node's agent. */
const controlAddresses = ['240.240.255.254', '2001:2:0:ffff:ffff:ffff:ffff:fffe'] as const;
const controlPort = 15010;
const controlCluster = 'ambit-control';
/**
 * SO_PRIORITY (of SOL_SOCKET) of the sockets to there, and of no other: by it the engine knows the proxy's own connection from one
 * that the proxy makes for a client, by a name that leads there. The twin of AMB_OWN_PRIORITY in native/bpf/abi.h.
 */
const ownSocket: JsonObject = { description: 'SO_PRIORITY', level: 1, name: 12, intValue: 5, state: 'STATE_PREBIND' };

export interface BootstrapInput {
  /** Connections of clients at a time; beyond them new ones are closed, so that no client can take all memory. */
  readonly maximumConnections: number;
  /** Bytes of memory from which on Envoy gives back what it can, and at last refuses; null: nobody limits it. */
  readonly memoryLimit: number | null;
  /** Who is asked for names, ADDRESS or ADDRESS:PORT, an IPv6 one in brackets where there is a port; none: those of the pod. */
  readonly nameServers: readonly string[];
  /** The machine's kernel knows IPv6: an Envoy that is told to listen there without it does not start. */
  readonly hasIpv6: boolean;
}

export const defaultBootstrap: BootstrapInput = {
  maximumConnections: 50_000,
  memoryLimit: null,
  nameServers: [],
  hasIpv6: true,
};

export interface EnvoyCall {
  /** Names the proxy in the control plane's pages: `NAMESPACE/POD`. It proves nothing. */
  readonly nodeId: string;
  /** What its replicas have in common: its waypoint, `NAMESPACE/GATEWAY`, or their identity. */
  readonly cluster: string;
  readonly bootstrap: BootstrapInput;
  /** Worker threads; null: as many as there are processors. */
  readonly concurrency: number | null;
  /** Seconds that requests have to end in when a listener goes. */
  readonly drainTime: number;
}

/** Arguments of Envoy's program. The bootstrap is among them: no file is needed, and none can be changed underneath. */
export function envoyArguments({ nodeId, cluster, bootstrap, concurrency, drainTime }: EnvoyCall): readonly string[] {
  return [
    ...['--config-yaml', JSON.stringify(envoyBootstrap(bootstrap))],
    ...['--service-node', nodeId],
    ...['--service-cluster', cluster],
    ...['--drain-time-s', String(drainTime)],
    ...['--log-level', 'warning'],
    ...(concurrency === null ? [] : ['--concurrency', String(concurrency)]),
  ];
}

/** Envoy's `Bootstrap` message as JSON. */
export function envoyBootstrap(input: BootstrapInput): JsonObject {
  return {
    admin: { address: socketAddress('127.0.0.1', adminPort) },
    dynamicResources: { adsConfig: aggregatedDiscovery(), cdsConfig: fromControl(), ldsConfig: fromControl() },
    staticResources: { clusters: [control()], listeners: [readiness(input)] },
    // Counts of workloads that are gone make room for others.
    statsEvictionInterval: '3600s',
    overloadManager: overload(input),
    ...nameResolution(input),
    layeredRuntime: { layers: [{ name: 'static', staticLayer: runtime }] },
  };
}

function nameResolution({ nameServers }: BootstrapInput): JsonObject {
  if (nameServers.length === 0) return {};
  const typedConfig = {
    '@type': 'type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',
    resolvers: nameServers.map(nameServer),
  };
  return { typedDnsResolverConfig: { name: 'envoy.network.dns_resolver.cares', typedConfig } };
}

function nameServer(text: string): JsonObject {
  const [, bracketed, plain, port = '53'] = /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d+))?$/.exec(text) ?? [];
  return socketAddress(bracketed ?? plain ?? text, Number(port));
}

/** What a waypoint's resources count on. */
export const runtime: JsonObject = {
  // Regular expressions are written by operators and checked by the control plane; Envoy's own bound is for toys.
  're2.max_program_size.error_level': 32_768,
  // Limits for each client know it by what the connection's filter state says.
  'envoy.reloadable_features.enable_formatter_for_ratelimit_action_descriptor_value': true,
};

function aggregatedDiscovery(): JsonObject {
  return {
    apiType: 'DELTA_GRPC',
    transportApiVersion: 'V3',
    setNodeOnFirstMessageOnly: true,
    grpcServices: [
      {
        envoyGrpc: {
          clusterName: controlCluster,
          retryPolicy: { retryBackOff: { baseInterval: '0.25s', maxInterval: '5s' } },
        },
      },
    ],
  };
}

/** Waited for without end: a proxy that knows nothing yet is not ready, and takes no connection. */
function fromControl(): JsonObject {
  return { ads: {}, resourceApiVersion: 'V3', initialFetchTimeout: '0s' };
}

function control(): JsonObject {
  const [first, ...others] = controlAddresses;
  return {
    name: controlCluster,
    type: 'STATIC',
    connectTimeout: '5s',
    upstreamBindConfig: { socketOptions: [ownSocket] },
    // Whichever family the pod has: the other address is no way out, and the next one is tried at once.
    loadAssignment: {
      clusterName: controlCluster,
      endpoints: [
        {
          lbEndpoints: [
            {
              endpoint: {
                address: socketAddress(first, controlPort),
                additionalAddresses: others.map((address) => ({ address: socketAddress(address, controlPort) })),
              },
            },
          ],
        },
      ],
    },
    typedExtensionProtocolOptions: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        // A control plane that is gone without a word is noticed within a minute.
        explicitHttpConfig: { http2ProtocolOptions: { connectionKeepalive: { interval: '30s', timeout: '20s' } } },
      },
    },
  };
}

/** Envoy accepts connections of this listener when all that it waits for at its start is there. */
function readiness({ hasIpv6 }: BootstrapInput): JsonObject {
  const everywhere = hasIpv6 ? { address: '::', ipv4Compat: true } : { address: '0.0.0.0' };
  return {
    name: 'readiness',
    address: { socketAddress: { ...everywhere, portValue: readinessPort } },
    ignoreGlobalConnLimit: true,
    filterChains: [{ filters: [extension('envoy.filters.network.http_connection_manager', readinessManager())] }],
  };
}

const network = 'envoy.extensions.filters.network';
const http = 'envoy.extensions.filters.http';

function readinessManager(): JsonObject {
  const headers = [{ name: ':path', stringMatch: { exact: readinessPath } }];
  return {
    '@type': `type.googleapis.com/${network}.http_connection_manager.v3.HttpConnectionManager`,
    statPrefix: 'readiness',
    requestTimeout: '5s',
    requestHeadersTimeout: '5s',
    commonHttpProtocolOptions: { idleTimeout: '60s' },
    routeConfig: {},
    httpFilters: [
      extension('envoy.filters.http.health_check', {
        '@type': `type.googleapis.com/${http}.health_check.v3.HealthCheck`,
        passThroughMode: false,
        headers,
      }),
      extension('envoy.filters.http.router', { '@type': `type.googleapis.com/${http}.router.v3.Router` }),
    ],
  };
}

function overload({ maximumConnections, memoryLimit }: BootstrapInput): JsonObject {
  const connections = extension('envoy.resource_monitors.global_downstream_max_connections', {
    '@type':
      'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
    maxActiveDownstreamConnections: String(maximumConnections),
  });
  if (memoryLimit === null) return { resourceMonitors: [connections] };
  return {
    refreshInterval: '0.25s',
    resourceMonitors: [connections, memory(memoryLimit)],
    actions: [
      action('envoy.overload_actions.shrink_heap', 0.9),
      action('envoy.overload_actions.stop_accepting_connections', 0.95),
      action('envoy.overload_actions.stop_accepting_requests', 0.97),
    ],
  };
}

const memoryMonitor = 'envoy.resource_monitors.fixed_heap';

function memory(limit: number): JsonObject {
  return extension(memoryMonitor, {
    '@type': 'type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig',
    maxHeapSizeBytes: String(limit),
  });
}

function action(name: string, share: number): JsonObject {
  return { name, triggers: [{ name: memoryMonitor, threshold: { value: share } }] };
}

function extension(name: string, typedConfig: JsonObject): JsonObject {
  return { name, typedConfig };
}

function socketAddress(address: string, portValue: number): JsonObject {
  return { socketAddress: { address, portValue } };
}
