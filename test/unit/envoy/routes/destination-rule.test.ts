import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { destinationRuleSchema } from '../../../../src/config/manifests/schemas/destination-rule.ts';
import { defaultTrafficPolicy } from '../../../../src/envoy/model.ts';
import { convertDestinationRule } from '../../../../src/envoy/routes/destination-rule.ts';
import type { ConvertedDestinationRule } from '../../../../src/envoy/routes/destination-rule.ts';
import { read } from '../../../support/envoy/documents.ts';
import { nowhere } from '../../../support/envoy/inputs.ts';

const home = { region: 'eu', zone: 'a', subzone: '' };

function convert(spec: Readonly<Record<string, unknown>>, port = 80): ConvertedDestinationRule {
  return convertDestinationRule(read(destinationRuleSchema, { host: 'web', ...spec }), port, home);
}

function policyOf(trafficPolicy: Readonly<Record<string, unknown>>) {
  return convert({ trafficPolicy }).policy;
}

void describe('a DestinationRule', () => {
  test('without a policy leaves our defaults', () => {
    assert.deepEqual(convert({}), { policy: defaultTrafficPolicy, subsets: [], conditions: [] });
  });

  for (const [loadBalancer, balancer] of [
    [{ simple: 'ROUND_ROBIN' }, { kind: 'round-robin', warmUp: null }],
    [{ simple: 'LEAST_REQUEST' }, { kind: 'least-request', warmUp: null }],
    [{ simple: 'LEAST_CONN' }, { kind: 'least-request', warmUp: null }],
    [{ simple: 'RANDOM' }, { kind: 'random' }],
    [{ simple: 'PASSTHROUGH' }, { kind: 'passthrough' }],
    [
      { warmupDurationSecs: '30s' },
      { kind: 'least-request', warmUp: { duration: 30_000, minimumPercent: null, aggression: null } },
    ],
    [
      { simple: 'ROUND_ROBIN', warmup: { duration: '1m', minimumPercent: 5, aggression: 2 } },
      { kind: 'round-robin', warmUp: { duration: 60_000, minimumPercent: 5, aggression: 2 } },
    ],
    [
      { consistentHash: { httpHeaderName: 'x' } },
      { kind: 'hash', key: { kind: 'header', name: 'x' }, table: { kind: 'ring', minimumSize: 1024 } },
    ],
    [
      { consistentHash: { httpQueryParameterName: 'q', maglev: { tableSize: 5003 } } },
      { kind: 'hash', key: { kind: 'query', name: 'q' }, table: { kind: 'maglev', size: 5003 } },
    ],
    [
      { consistentHash: { useSourceIp: true, ringHash: { minimumRingSize: 64 } } },
      { kind: 'hash', key: { kind: 'source-address' }, table: { kind: 'ring', minimumSize: 64 } },
    ],
    [
      { consistentHash: { httpCookie: { name: 'c', ttl: '0s' }, minimumRingSize: 32 } },
      { kind: 'hash', key: { kind: 'cookie', name: 'c', path: '', ttl: 0 }, table: { kind: 'ring', minimumSize: 32 } },
    ],
  ] as const) {
    test(`balances by ${JSON.stringify(loadBalancer)}`, () => {
      assert.deepEqual(policyOf({ loadBalancer }).balancer, balancer);
    });
  }

  test('prefers near endpoints, and other regions in the order that is said', () => {
    const { locality } = policyOf({ loadBalancer: { localityLbSetting: { failover: [{ from: 'eu', to: 'us' }] } } });
    assert.deepEqual(locality, {
      kind: 'prefer',
      scopes: ['region', 'zone', 'subzone'],
      failover: [{ from: 'eu', to: 'us' }],
    });
  });

  test('shares by weight where it says so for the place of the waypoint', () => {
    const distribute = [
      { from: 'us/*', to: { 'us/*': 100 } },
      { from: 'eu/a/*', to: { 'eu/a/*': 80, 'eu/b/*': 20 } },
    ];
    const spec = { trafficPolicy: { loadBalancer: { localityLbSetting: { distribute } } } };
    assert.deepEqual(convert(spec).policy.locality, {
      kind: 'weighted',
      distribution: [
        { locality: 'eu/a/*', weight: 80 },
        { locality: 'eu/b/*', weight: 20 },
      ],
    });
    const elsewhere = convertDestinationRule(read(destinationRuleSchema, { host: 'web', ...spec }), 80, nowhere);
    assert.deepEqual(elsewhere.policy.locality, { kind: 'any' });
    assert.match(elsewhere.conditions[0]?.message ?? '', /localityLbSetting\.distribute: /);
  });

  test('limits connections and requests', () => {
    const policy = policyOf({
      connectionPool: {
        tcp: {
          maxConnections: 10,
          connectTimeout: '1.5s',
          tcpKeepalive: { probes: 3, time: '2h', interval: '75s' },
          maxConnectionDuration: '1h',
          idleTimeout: '7s',
        },
        http: {
          http1MaxPendingRequests: 1,
          http2MaxRequests: 2,
          maxRequestsPerConnection: 3,
          maxRetries: 4,
          idleTimeout: '5s',
          h2UpgradePolicy: 'UPGRADE',
          maxConcurrentStreams: 6,
        },
      },
    });
    assert.deepEqual(policy.limits, {
      connections: 10,
      pendingRequests: 1,
      requests: 2,
      retries: 4,
      requestsPerConnection: 3,
      concurrentStreams: 6,
      idleTimeout: 5000,
      tcpIdleTimeout: 7000,
      connectionAge: 3_600_000,
      upgrade: 'always',
    });
    assert.equal(policy.connectTimeout, 1500);
    assert.deepEqual(policy.tcpKeepalive, { probes: 3, time: 7_200_000, interval: 75_000 });
  });

  test('takes zero for nothing said, as Istio does: a limit of none would refuse everything, and Envoy times of none', () => {
    const policy = policyOf({
      connectionPool: {
        tcp: { maxConnections: 0, connectTimeout: '0s', maxConnectionDuration: '0s' },
        http: { http1MaxPendingRequests: 0, http2MaxRequests: 0, maxRetries: 0, maxRequestsPerConnection: 0 },
      },
      outlierDetection: { interval: '0s', baseEjectionTime: '0s' },
    });
    const { limits, connectTimeout } = defaultTrafficPolicy;
    assert.deepEqual([policy.limits, policy.connectTimeout], [limits, connectTimeout]);
    assert.deepEqual([policy.outliers?.interval, policy.outliers?.baseEjectionTime], [10_000, 30_000]);
  });

  test('ejects outliers, by Istio’s numbers where it has none of its own', () => {
    const defaults = policyOf({ outlierDetection: {} }).outliers;
    assert.deepEqual(
      [
        defaults?.consecutiveServerErrors,
        defaults?.interval,
        defaults?.baseEjectionTime,
        defaults?.maximumEjectedPercent,
      ],
      [5, 10_000, 30_000, 10],
    );
    const own = policyOf({
      outlierDetection: { consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, minHealthPercent: 30 },
    });
    assert.deepEqual(
      [
        own.outliers?.consecutiveServerErrors,
        own.outliers?.consecutiveGatewayErrors,
        own.outliers?.minimumHealthPercent,
      ],
      [0, 2, 30],
    );
  });

  test('speaks TLS to what is outside', () => {
    assert.equal(policyOf({ tls: { mode: 'DISABLE' } }).tls, null);
    assert.deepEqual(
      policyOf({
        tls: {
          mode: 'MUTUAL',
          clientCertificate: '/c',
          privateKey: '/k',
          caCertificates: '/r',
          sni: 'a',
          subjectAltNames: ['b'],
        },
      }).tls,
      {
        serverName: 'a',
        subjectAltNames: ['b'],
        roots: '/r',
        certificate: { chain: '/c', key: '/k' },
        insecure: false,
      },
    );
  });

  test('says it for one port, of which then nothing else counts', () => {
    const trafficPolicy = {
      loadBalancer: { simple: 'RANDOM' },
      portLevelSettings: [{ port: { number: 81 }, outlierDetection: {} }],
    };
    assert.equal(convert({ trafficPolicy }, 80).policy.balancer.kind, 'random');
    const closer = convert({ trafficPolicy }, 81).policy;
    assert.deepEqual([closer.balancer.kind, closer.outliers === null], ['least-request', false]);
  });

  test('gives subsets what they do not say themselves', () => {
    const { subsets } = convert({
      trafficPolicy: { loadBalancer: { simple: 'RANDOM' }, outlierDetection: {} },
      subsets: [
        { name: 'v1', labels: { version: 'v1' } },
        { name: 'v2', labels: { version: 'v2' }, trafficPolicy: { loadBalancer: { simple: 'ROUND_ROBIN' } } },
      ],
    });
    assert.deepEqual(
      subsets.map(({ name, labels, policy }) => [
        name,
        labels['version'],
        policy.balancer.kind,
        policy.outliers === null,
      ]),
      [
        ['v1', 'v1', 'random', false],
        ['v2', 'v2', 'round-robin', false],
      ],
    );
  });

  for (const [spec, field] of [
    [{ workloadSelector: {} }, 'spec.workloadSelector'],
    [{ trafficPolicy: { tunnel: {} } }, 'spec.trafficPolicy.tunnel'],
    [{ trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL' } } }, 'spec.trafficPolicy.tls.mode'],
    [{ trafficPolicy: { tls: { mode: 'SIMPLE', credentialName: 'a' } } }, 'spec.trafficPolicy.tls.credentialName'],
    [
      { trafficPolicy: { loadBalancer: { simple: 'RANDOM', warmup: { duration: '1m' } } } },
      'spec.trafficPolicy.loadBalancer.warmup',
    ],
    [
      { subsets: [{ name: 'v1', trafficPolicy: { proxyProtocol: {} } }] },
      'spec.subsets[0].trafficPolicy.proxyProtocol',
    ],
    [{ trafficPolicy: { retryBudget: {} } }, 'spec.trafficPolicy.retryBudget'],
    [{ trafficPolicy: { tls: { mode: 'SIMPLE', caCrl: 'a' } } }, 'spec.trafficPolicy.tls.caCrl'],
    [
      { trafficPolicy: { loadBalancer: { localityLbSetting: { failoverPriority: ['x'] } } } },
      'spec.trafficPolicy.loadBalancer.localityLbSetting.failoverPriority',
    ],
  ] as const) {
    test(`tells that ${field} is not honoured`, () => {
      assert.ok(convert(spec).conditions[0]?.message.startsWith(`${field}: `));
    });
  }

  for (const [what, trafficPolicy] of [
    ['two ways to balance', { loadBalancer: { simple: 'RANDOM', consistentHash: { useSourceIp: true } } }],
    ['two keys to hash', { loadBalancer: { consistentHash: { useSourceIp: true, httpHeaderName: 'x' } } }],
    ['mutual TLS without a certificate', { tls: { mode: 'MUTUAL' } }],
    ['a field that is mistyped', { outlierDetecion: {} }],
  ] as const) {
    test(`is refused with ${what}`, () => {
      assert.throws(() => convert({ trafficPolicy }));
    });
  }
});
