import type {
  FilterChainSchema,
  FilterSchema,
} from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { TcpProxySchema } from '../proto/gen/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { accessLogs } from './access-log.ts';
import { guarded, toChain } from './chain-matcher.ts';
import type { Branch } from './chain-matcher.ts';
import { connectionHash } from './hash-policies.ts';
import type { TrafficPolicy } from './model.ts';
import { missingCluster, refusedChain, statisticsName } from './names.ts';
import { connectionStateFilter } from './peer.ts';
import type { ChainTelemetry } from './metrics/chain.ts';
import { connectionMetrics } from './metrics/traffic-metrics.ts';
import { policyMetrics } from './metrics/policy-metrics.ts';
import type { AccessLogSettings } from './model.ts';
import { connectionGate } from './security/connection-gate.ts';
import type { AccessPolicy } from './security/model.ts';
import { duration, given, typed } from './values.ts';
import type { Init } from './values.ts';

const hour = 3_600_000;

export interface TcpTarget {
  readonly cluster: string;
  readonly weight: number;
}

export interface TcpChainSettings {
  readonly accessLog: AccessLogSettings | null;
  readonly telemetry: ChainTelemetry;
  /** Of where the connections go. */
  readonly policies: readonly TrafficPolicy[];
  /** Who may connect. */
  readonly security: readonly Init<typeof FilterSchema>[];
  /** Of these what those find is counted that only tell. */
  readonly watched: readonly AccessPolicy[];
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
      connectionStateFilter(settings.telemetry),
      ...settings.security,
      typed('envoy.filters.network.tcp_proxy', TcpProxySchema, {
        statPrefix: statisticsName(name),
        clusterSpecifier: clusterSpecifier(targets),
        ...timesOf(settings.policies),
        hashPolicy: [...connectionHash(settings.policies)],
        accessLog: [
          ...connectionMetrics(settings.telemetry.labels),
          ...policyMetrics(settings.watched, 'connections', settings.telemetry.labels),
          ...accessLogs(settings.accessLog, 'connections', settings.telemetry.labels),
        ],
        accessLogOptions: { flushAccessLogOnConnected: true },
      }),
    ],
  };
}

/** The way to a chain where some may not come: those go to the one that leads nowhere. */
export function gateTcp(name: string, branch: Branch, policies: readonly AccessPolicy[]): Branch {
  const gate = connectionGate(policies);
  return gate === true ? branch : guarded(gate, branch, toChain(refusedChain(name)));
}

type RefusalSettings = Omit<TcpChainSettings, 'security' | 'policies' | 'watched'>;

/** The chain of those who may not come; none where all may. */
export function refusingChains(
  name: string,
  policies: readonly AccessPolicy[],
  settings: RefusalSettings,
): readonly Init<typeof FilterChainSchema>[] {
  return connectionGate(policies) === true ? [] : [refusingChain(name, settings)];
}

/** It leads nowhere, so those who come are counted and ended before the server has said a word. */
export function refusingChain(name: string, settings: RefusalSettings): Init<typeof FilterChainSchema> {
  const nowhere = [{ cluster: missingCluster, weight: 1 }];
  return tcpChain(refusedChain(name), nowhere, { ...settings, security: [], policies: [], watched: [] });
}

/** Istio says them of the destination, Envoy of the chain: of several the shortest holds. */
function timesOf(policies: readonly TrafficPolicy[]): Pick<Init<typeof TcpProxySchema>, ConnectionTimes> {
  const idle = policies.flatMap(({ limits }) => limits.tcpIdleTimeout ?? []);
  const ages = policies.flatMap(({ limits }) => limits.connectionAge ?? []);
  return {
    // Zero turns it off.
    idleTimeout: duration(idle.length === 0 ? hour : shortest(idle)),
    ...given(ages.length === 0 ? null : shortest(ages), (age) => ({ maxDownstreamConnectionDuration: duration(age) })),
  };
}

type ConnectionTimes = 'idleTimeout' | 'maxDownstreamConnectionDuration';

function shortest(times: readonly number[]): number {
  const limits = times.filter((time) => time > 0);
  return limits.length === 0 ? 0 : Math.min(...limits);
}

type Specifier = NonNullable<Init<typeof TcpProxySchema>['clusterSpecifier']>;

function clusterSpecifier(targets: readonly TcpTarget[]): Specifier {
  const [first] = targets;
  if (targets.length === 1 && first !== undefined) return { case: 'cluster', value: first.cluster };
  const clusters = targets.map(({ cluster, weight }) => ({ name: cluster, weight }));
  return { case: 'weightedClusters', value: { clusters } };
}
