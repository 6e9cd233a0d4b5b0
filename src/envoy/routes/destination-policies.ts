import type {
  ConnectionPoolDocument,
  LoadBalancerDocument,
  OutlierDetectionDocument,
} from '../../config/manifests/schemas/destination-rule.ts';
import type { Locality } from '../../model/workload.ts';
import { defaultTrafficPolicy } from '../model.ts';
import type {
  Balancer,
  ConnectionLimits,
  HashKey,
  HashTable,
  LocalityPolicy,
  OutlierPolicy,
  WarmUp,
} from '../model.ts';
import { localityKey, matchesLocality } from '../locality.ts';
import type { Notes } from './notes.ts';

type Hash = NonNullable<LoadBalancerDocument['consistentHash']>;

/** As Istio has them where nobody says otherwise. */
const minimumRingSize = 1024;
const defaultInterval = 10_000;
const defaultEjectionTime = 30_000;
const defaultServerErrors = 5;
const defaultEjectedPercent = 10;

export function balancerOf(loadBalancer: LoadBalancerDocument | null, field: string, notes: Notes): Balancer {
  if (loadBalancer === null) return defaultTrafficPolicy.balancer;
  const { simple, consistentHash } = loadBalancer;
  const warms = consistentHash === null && simple !== 'RANDOM' && simple !== 'PASSTHROUGH';
  if (!warms && warmUpOf(loadBalancer) !== null)
    notes.unsupported(
      `${field}.warmup`,
      'only ROUND_ROBIN and LEAST_REQUEST warm up: new endpoints have their full share',
    );
  if (consistentHash !== null) return { kind: 'hash', key: hashKey(consistentHash), table: hashTable(consistentHash) };
  switch (simple) {
    case 'RANDOM':
      return { kind: 'random' };
    case 'PASSTHROUGH':
      return { kind: 'passthrough' };
    case 'ROUND_ROBIN':
      return { kind: 'round-robin', warmUp: warmUpOf(loadBalancer) };
    case 'LEAST_CONN':
    case 'LEAST_REQUEST':
    case 'UNSPECIFIED':
    case null:
      return { kind: 'least-request', warmUp: warmUpOf(loadBalancer) };
  }
}

function warmUpOf({ warmup, warmupDurationSecs }: LoadBalancerDocument): WarmUp | null {
  if (warmup !== null) return warmup;
  return warmupDurationSecs === null ? null : { duration: warmupDurationSecs, minimumPercent: null, aggression: null };
}

function hashKey({ httpHeaderName, httpCookie, httpQueryParameterName }: Hash): HashKey {
  if (httpHeaderName !== null) return { kind: 'header', name: httpHeaderName };
  if (httpQueryParameterName !== null) return { kind: 'query', name: httpQueryParameterName };
  if (httpCookie === null) return { kind: 'source-address' };
  return { kind: 'cookie', name: httpCookie.name, path: httpCookie.path ?? '', ttl: httpCookie.ttl };
}

function hashTable({ maglev, ringHash, minimumRingSize: legacy }: Hash): HashTable {
  if (maglev !== null) return { kind: 'maglev', size: maglev.tableSize };
  return { kind: 'ring', minimumSize: ringHash?.minimumRingSize ?? legacy ?? minimumRingSize };
}

type LocalitySetting = NonNullable<LoadBalancerDocument['localityLbSetting']>;

export function localityOf(
  setting: LocalitySetting | null,
  own: Locality,
  field: string,
  notes: Notes,
): LocalityPolicy {
  if (setting === null || setting.enabled === false) return { kind: 'any' };
  if (setting.failoverPriority.length > 0) {
    notes.unsupported(
      `${field}.localityLbSetting.failoverPriority`,
      'it is not supported: region, zone and subzone count',
    );
  }
  const share = setting.distribute.find(({ from }) => matchesLocality(own, from));
  if (share !== undefined) {
    const distribution = Object.entries(share.to).map(([locality, weight]) => ({ locality, weight }));
    return { kind: 'weighted', distribution };
  }
  if (setting.distribute.length > 0) {
    notes.unsupported(
      `${field}.localityLbSetting.distribute`,
      `it says nothing for ${localityKey(own)}, where the waypoint runs: any endpoint is used`,
    );
    return { kind: 'any' };
  }
  return { kind: 'prefer', scopes: ['region', 'zone', 'subzone'], failover: setting.failover };
}

export function limitsOf(pool: ConnectionPoolDocument | null): ConnectionLimits {
  const tcp = pool?.tcp ?? null;
  const http = pool?.http ?? null;
  return {
    connections: orNone(tcp?.maxConnections),
    pendingRequests: orNone(http?.http1MaxPendingRequests),
    requests: orNone(http?.http2MaxRequests),
    retries: orNone(http?.maxRetries),
    requestsPerConnection: orNone(http?.maxRequestsPerConnection),
    concurrentStreams: orNone(http?.maxConcurrentStreams),
    idleTimeout: http?.idleTimeout ?? tcp?.idleTimeout ?? null,
    tcpIdleTimeout: tcp?.idleTimeout ?? null,
    connectionAge: orNone(tcp?.maxConnectionDuration),
    upgrade: upgradeOf(http),
  };
}

function upgradeOf(http: ConnectionPoolDocument['http']): ConnectionLimits['upgrade'] {
  if (http?.useClientProtocol === true) return 'default';
  switch (http?.h2UpgradePolicy) {
    case 'UPGRADE':
      return 'always';
    case 'DO_NOT_UPGRADE':
      return 'never';
    default:
      return 'default';
  }
}

/** Zero says that there is no limit, as in Istio, where nothing at all is written so, too. */
export function orNone(value: number | null | undefined): number | null {
  return value === 0 ? null : (value ?? null);
}

export function outliersOf(outliers: OutlierDetectionDocument | null): OutlierPolicy | null {
  if (outliers === null) return null;
  return {
    consecutiveServerErrors: outliers.consecutive5xxErrors ?? outliers.consecutiveErrors ?? defaultServerErrors,
    consecutiveGatewayErrors: outliers.consecutiveGatewayErrors,
    consecutiveLocalFailures: outliers.consecutiveLocalOriginFailures,
    splitLocalErrors: outliers.splitExternalLocalOriginErrors ?? false,
    interval: orNone(outliers.interval) ?? defaultInterval,
    baseEjectionTime: orNone(outliers.baseEjectionTime) ?? defaultEjectionTime,
    maximumEjectedPercent: outliers.maxEjectionPercent ?? defaultEjectedPercent,
    minimumHealthPercent: outliers.minHealthPercent ?? 0,
  };
}
