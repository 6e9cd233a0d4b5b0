import type {
  FilterChainSchema,
  FilterSchema,
} from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { TcpProxySchema } from '../proto/gen/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import type { HashPolicySchema } from '../proto/gen/envoy-api/envoy/type/v3/hash_policy_pb.ts';
import { accessLogs } from './access-log.ts';
import { statisticsName } from './names.ts';
import { connectionStateFilter } from './peer.ts';
import type { ChainTelemetry } from './metrics/chain.ts';
import { connectionMetrics } from './metrics/traffic-metrics.ts';
import { duration, typed } from './values.ts';
import type { Init } from './values.ts';

const hour = 3_600_000;

export interface TcpTarget {
  readonly cluster: string;
  readonly weight: number;
}

export interface TcpChainSettings {
  readonly accessLog: boolean;
  readonly telemetry: ChainTelemetry;
  readonly hash: readonly Init<typeof HashPolicySchema>[];
  /** Who may connect. */
  readonly security: readonly Init<typeof FilterSchema>[];
}

/** Filters that carry bytes. @param targets at least one */
export function tcpChain(
  name: string,
  targets: readonly TcpTarget[],
  settings: TcpChainSettings,
): Init<typeof FilterChainSchema> {
  return {
    name,
    filters: [
      connectionStateFilter(settings.telemetry.state),
      ...settings.security,
      typed('envoy.filters.network.tcp_proxy', TcpProxySchema, {
        statPrefix: statisticsName(name),
        clusterSpecifier: clusterSpecifier(targets),
        idleTimeout: duration(hour),
        hashPolicy: [...settings.hash],
        accessLog: [
          ...connectionMetrics(settings.telemetry.destination),
          ...accessLogs(settings.accessLog, 'connections', settings.telemetry.destination),
        ],
        accessLogOptions: { flushAccessLogOnConnected: true },
      }),
    ],
  };
}

type Specifier = NonNullable<Init<typeof TcpProxySchema>['clusterSpecifier']>;

function clusterSpecifier(targets: readonly TcpTarget[]): Specifier {
  const [first] = targets;
  if (targets.length === 1 && first !== undefined) return { case: 'cluster', value: first.cluster };
  const clusters = targets.map(({ cluster, weight }) => ({ name: cluster, weight }));
  return { case: 'weightedClusters', value: { clusters } };
}
