import { create } from '@bufbuild/protobuf';
import {
  Cluster_DiscoveryType as Discovery,
  Cluster_DnsLookupFamily as DnsFamily,
  Cluster_LbPolicy as Policy,
  ClusterSchema,
} from '../proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import type { Cluster } from '../proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import type { CircuitBreakersSchema } from '../proto/gen/envoy-api/envoy/config/cluster/v3/circuit_breaker_pb.ts';
import type { OutlierDetectionSchema } from '../proto/gen/envoy-api/envoy/config/cluster/v3/outlier_detection_pb.ts';
import { balancing } from './balancing.ts';
import { assignment } from './endpoints.ts';
import { defaultTrafficPolicy } from './model.ts';
import type {
  ConnectionLimits,
  Destination,
  DestinationsInput,
  OutlierPolicy,
  TcpKeepalive,
  WaypointInput,
} from './model.ts';
import { clusterName, directCluster, statisticsName } from './names.ts';
import { clusterMetadata } from './metrics/labels.ts';
import { transportSocket } from './transport-socket.ts';
import { upstreamProtocols } from './upstream-protocols.ts';
import { aggregated, duration, given } from './values.ts';
import type { Init } from './values.ts';

/** Envoy's limits are 1024 unless set, and at that a busy service begins to be refused without anybody having asked for it. */
const unlimited = 4_294_967_295;

export function buildClusters(input: WaypointInput): readonly Cluster[] {
  const clusters = destinationClusters(input);
  return input.workloads.length === 0 ? clusters : [...clusters, direct()];
}

export function destinationClusters(input: DestinationsInput): readonly Cluster[] {
  return input.destinations.map((destination) => buildCluster(destination, input));
}

function buildCluster(destination: Destination, input: DestinationsInput): Cluster {
  const { policy } = destination;
  const keepalive = given(policy.tcpKeepalive, keepaliveOf);
  const outlierDetection = given(policy.outliers, outlierDetectionOf);
  const socket = given(policy.tls, (tls) => transportSocket(tls, destination.hostname));
  return create(ClusterSchema, {
    name: clusterName(destination),
    altStatName: statisticsName(clusterName(destination)),
    metadata: clusterMetadata(destination),
    ...discovery(destination, input),
    connectTimeout: duration(policy.connectTimeout),
    ...balancing(policy),
    circuitBreakers: circuitBreakers(policy.limits),
    typedExtensionProtocolOptions: upstreamProtocols(destination),
    ...(outlierDetection === undefined ? {} : { outlierDetection }),
    ...(keepalive === undefined ? {} : { upstreamConnectionOptions: { tcpKeepalive: keepalive } }),
    ...(socket === undefined ? {} : { transportSocket: socket }),
  });
}

function discovery(destination: Destination, input: DestinationsInput): Init<typeof ClusterSchema> {
  const { endpoints, policy } = destination;
  if (policy.balancer.kind === 'passthrough')
    return { clusterDiscoveryType: { case: 'type', value: Discovery.ORIGINAL_DST } };
  if (endpoints.kind === 'known') {
    return {
      clusterDiscoveryType: { case: 'type', value: Discovery.EDS },
      edsClusterConfig: { edsConfig: aggregated() },
    };
  }
  const loadAssignment = assignment(destination, input);
  // Envoy refuses that kind without its one name, and all other clusters with it.
  const isFirst = endpoints.kind === 'dns-first' && loadAssignment.endpoints?.length === 1;
  return {
    clusterDiscoveryType: { case: 'type', value: isFirst ? Discovery.LOGICAL_DNS : Discovery.STRICT_DNS },
    loadAssignment,
    dnsLookupFamily: DnsFamily.ALL,
    respectDnsTtl: true,
  };
}

/** Sends where the client meant to: the address of its connection, which the listener has matched. */
function direct(): Cluster {
  return create(ClusterSchema, {
    name: directCluster,
    clusterDiscoveryType: { case: 'type', value: Discovery.ORIGINAL_DST },
    lbPolicy: Policy.CLUSTER_PROVIDED,
    connectTimeout: duration(defaultTrafficPolicy.connectTimeout),
    circuitBreakers: circuitBreakers(defaultTrafficPolicy.limits),
    typedExtensionProtocolOptions: upstreamProtocols({ protocol: null, hostname: '', policy: defaultTrafficPolicy }),
  });
}

function circuitBreakers(limits: ConnectionLimits): Init<typeof CircuitBreakersSchema> {
  return {
    thresholds: [
      {
        maxConnections: limits.connections ?? unlimited,
        maxPendingRequests: limits.pendingRequests ?? unlimited,
        maxRequests: limits.requests ?? unlimited,
        maxRetries: limits.retries ?? unlimited,
        trackRemaining: true,
      },
    ],
  };
}

function keepaliveOf({ probes, time, interval }: TcpKeepalive) {
  return {
    ...given(probes, (keepaliveProbes) => ({ keepaliveProbes })),
    ...given(time, (value) => ({ keepaliveTime: Math.ceil(value / 1000) })),
    ...given(interval, (value) => ({ keepaliveInterval: Math.ceil(value / 1000) })),
  };
}

/** Only what is asked for ejects: Envoy's own statistical rules stay off. */
function outlierDetectionOf(policy: OutlierPolicy): Init<typeof OutlierDetectionSchema> {
  return {
    ...counted(policy),
    interval: duration(policy.interval),
    baseEjectionTime: duration(policy.baseEjectionTime),
    maxEjectionPercent: policy.maximumEjectedPercent,
    enforcingSuccessRate: 0,
    splitExternalLocalOriginErrors: policy.splitLocalErrors,
    ...localErrors(policy),
  };
}

function counted(policy: OutlierPolicy): Init<typeof OutlierDetectionSchema> {
  const { consecutiveServerErrors: server, consecutiveGatewayErrors: gateway } = policy;
  return {
    ...(server === null ? {} : { consecutive5xx: server, enforcingConsecutive5xx: server === 0 ? 0 : 100 }),
    ...(gateway === null
      ? {}
      : { consecutiveGatewayFailure: gateway, enforcingConsecutiveGatewayFailure: gateway === 0 ? 0 : 100 }),
  };
}

function localErrors({ splitLocalErrors, consecutiveLocalFailures }: OutlierPolicy) {
  if (!splitLocalErrors) return {};
  return {
    enforcingLocalOriginSuccessRate: 0,
    ...(consecutiveLocalFailures === null
      ? {}
      : {
          consecutiveLocalOriginFailure: consecutiveLocalFailures,
          enforcingConsecutiveLocalOriginFailure: 100,
        }),
  };
}
