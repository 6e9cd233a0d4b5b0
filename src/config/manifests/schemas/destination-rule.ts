import { z } from 'zod';
import { closed, documentOf, lineText, list, maybe, portNumber, stringMap, text } from './common.ts';
import { headerName } from './gateway-common.ts';
import { count, flag, host, istioDuration } from './istio-common.ts';

const simpleBalancers = ['UNSPECIFIED', 'LEAST_CONN', 'LEAST_REQUEST', 'RANDOM', 'PASSTHROUGH', 'ROUND_ROBIN'] as const;

/** As large as Envoy lets them be. */
const ringSize = z.int().min(0).max(8_388_608);
const tableSize = z.int().max(5_000_011).refine(isPrime, { error: 'must be a prime number' });

const consistentHash = closed({
  httpHeaderName: maybe(headerName),
  httpCookie: maybe(closed({ name: lineText.min(1), path: maybe(lineText), ttl: maybe(istioDuration) })),
  useSourceIp: flag,
  httpQueryParameterName: maybe(text.min(1)),
  ringHash: maybe(closed({ minimumRingSize: maybe(ringSize) })),
  maglev: maybe(closed({ tableSize: maybe(tableSize) })),
  minimumRingSize: maybe(ringSize),
}).refine(
  (hash) =>
    [hash.httpHeaderName, hash.httpCookie, hash.useSourceIp === true, hash.httpQueryParameterName].filter(Boolean)
      .length === 1,
  { error: 'must have exactly one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName' },
);

const localityLbSetting = closed({
  distribute: list(closed({ from: text, to: z.record(z.string(), z.int().min(0).max(100)) })),
  failover: list(closed({ from: text, to: text })),
  failoverPriority: list(text),
  enabled: flag,
});

const warmup = closed({
  duration: istioDuration,
  minimumPercent: maybe(z.number().min(0).max(100)),
  aggression: maybe(z.number().min(1)),
});

const loadBalancer = closed({
  simple: maybe(z.enum(simpleBalancers, { error: `must be one of ${simpleBalancers.join(', ')}` })),
  consistentHash: maybe(consistentHash),
  localityLbSetting: maybe(localityLbSetting),
  warmupDurationSecs: maybe(istioDuration),
  warmup: maybe(warmup),
}).refine(({ simple, consistentHash: hash }) => simple === null || hash === null, {
  error: 'cannot have both simple and consistentHash',
});

const connectionPool = closed({
  tcp: maybe(
    closed({
      maxConnections: maybe(count),
      connectTimeout: maybe(istioDuration),
      tcpKeepalive: maybe(closed({ probes: maybe(count), time: maybe(istioDuration), interval: maybe(istioDuration) })),
      maxConnectionDuration: maybe(istioDuration),
      idleTimeout: maybe(istioDuration),
    }),
  ),
  http: maybe(
    closed({
      http1MaxPendingRequests: maybe(count),
      http2MaxRequests: maybe(count),
      maxRequestsPerConnection: maybe(count),
      maxRetries: maybe(count),
      idleTimeout: maybe(istioDuration),
      h2UpgradePolicy: maybe(z.enum(['DEFAULT', 'DO_NOT_UPGRADE', 'UPGRADE'])),
      useClientProtocol: flag,
      maxConcurrentStreams: maybe(count),
    }),
  ),
});

const percent = maybe(z.int().min(0).max(100));

const outlierDetection = closed({
  consecutiveErrors: maybe(count),
  splitExternalLocalOriginErrors: flag,
  consecutiveLocalOriginFailures: maybe(count),
  consecutiveGatewayErrors: maybe(count),
  consecutive5xxErrors: maybe(count),
  interval: maybe(istioDuration),
  baseEjectionTime: maybe(istioDuration),
  maxEjectionPercent: percent,
  minHealthPercent: percent,
});

const tls = closed({
  mode: z
    .enum(['DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL'], {
      error: 'must be DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL',
    })
    .nullish()
    .transform((value) => value ?? 'DISABLE'),
  clientCertificate: maybe(text),
  privateKey: maybe(text),
  caCertificates: maybe(text),
  credentialName: maybe(text),
  subjectAltNames: list(text.min(1)),
  sni: maybe(text),
  insecureSkipVerify: flag,
  caCrl: maybe(text),
}).refine(
  ({ mode, credentialName, clientCertificate, privateKey }) =>
    mode !== 'MUTUAL' || credentialName !== null || (clientCertificate !== null && privateKey !== null),
  {
    error: 'of mode MUTUAL needs clientCertificate and privateKey, or credentialName',
  },
);

const settings = {
  loadBalancer: maybe(loadBalancer),
  connectionPool: maybe(connectionPool),
  outlierDetection: maybe(outlierDetection),
  tls: maybe(tls),
};

const portSettings = closed({ ...settings, port: closed({ number: portNumber }) });

const trafficPolicy = closed({
  ...settings,
  portLevelSettings: list(portSettings),
  tunnel: z.unknown().optional(),
  proxyProtocol: z.unknown().optional(),
  retryBudget: z.unknown().optional(),
});

const subsetName = text.refine((value) => /^[A-Za-z0-9]([-A-Za-z0-9._]{0,61}[A-Za-z0-9])?$/.test(value), {
  error: 'must be letters, digits, `-`, `.` and `_`, at most 63',
});

const spec = closed({
  host,
  trafficPolicy: maybe(trafficPolicy),
  subsets: list(closed({ name: subsetName, labels: stringMap, trafficPolicy: maybe(trafficPolicy) })),
  exportTo: list(text),
  workloadSelector: z.unknown().optional(),
});

export const destinationRuleSchema = documentOf(spec);

export type DestinationRuleDocument = z.output<typeof destinationRuleSchema>;
export type TrafficPolicyDocument = z.output<typeof trafficPolicy>;
export type PolicySettings = Pick<TrafficPolicyDocument, keyof typeof settings>;
export type LoadBalancerDocument = z.output<typeof loadBalancer>;
export type ConnectionPoolDocument = z.output<typeof connectionPool>;
export type OutlierDetectionDocument = z.output<typeof outlierDetection>;
export type ClientTlsDocument = z.output<typeof tls>;

function isPrime(value: number): boolean {
  for (let factor = 2; factor * factor <= value; factor++) if (value % factor === 0) return false;
  return value > 1;
}
