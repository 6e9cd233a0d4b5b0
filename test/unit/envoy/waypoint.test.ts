import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { buildWaypoint } from '../../../src/envoy/build.ts';
import { noSecurity } from '../../../src/envoy/security/model.ts';
import { carriedBy } from '../../../src/envoy/port-plan.ts';
import { assertGolden, goldenOfMetrics } from '../../support/envoy/goldens.ts';
import { resourcesJson } from '../../support/envoy/static-bootstrap.ts';
import { destination, endpoint, input, labels, policy, port, rule, service } from '../../support/envoy/inputs.ts';

void describe('the resources of a waypoint', () => {
  test('are none where nothing is bound to it', () => {
    const { listeners, clusters, endpoints, routes } = buildWaypoint(input());
    assert.deepEqual([listeners, clusters, endpoints, routes], [[], [], [], []]);
  });

  test('are a chain, routes, a cluster and endpoints for a port that speaks HTTP', () => {
    assertGolden(
      'http',
      input({
        services: [service('web', '10.96.0.1', port(80, 'http1'))],
        destinations: [destination('web', 80, 'http1', [endpoint('10.0.0.1', 8080), endpoint('10.0.0.2', 8080)])],
      }),
    );
  });

  test('of one service on both families share a chain', () => {
    const web = service('web', '10.96.0.1', port(80, 'http2'), port(81, 'grpc'));
    assertGolden(
      'two-families',
      input({
        services: [{ ...web, addresses: ['10.96.0.1', 'fd00:96::1'] }],
        destinations: [
          destination('web', 80, 'http2', [endpoint('10.0.0.1', 8080), endpoint('fd00::1', 8080)]),
          destination('web', 81, 'grpc', [endpoint('10.0.0.1', 8081)]),
        ],
      }),
    );
  });

  test('carry bytes, look for HTTP where nobody says, and ask TLS for its name', () => {
    const named = {
      from: null,
      serverNames: ['a.example.com', '*.b.example.com'],
      targets: [{ destination: null, weight: 1 }],
    };
    assertGolden(
      'connections',
      input({
        services: [
          service('database', '10.96.0.2', port(5432, 'tcp')),
          service('what', '10.96.0.3', port(7000, null)),
          service('secret', '10.96.0.4', port(443, 'tls', { connections: [{ name: 'named', ...named }] })),
        ],
        destinations: [
          destination('database', 5432, 'tcp', [endpoint('10.0.0.1', 5432, { healthy: false })]),
          destination('what', 7000, null, [endpoint('10.0.0.2', 7000)]),
        ],
      }),
    );
  });

  test('send pods that are addressed themselves where their clients meant to', () => {
    assertGolden(
      'workloads',
      input({
        services: [service('database', '10.96.0.2', port(5432, 'tcp'))],
        destinations: [destination('database', 5432, 'tcp', [])],
        workloads: [
          {
            addresses: ['10.0.0.1', 'fd00::1'],
            labels: null,
            protocols: new Map([[8080, 'http1']]),
            security: noSecurity,
          },
          { addresses: ['10.0.0.2'], labels: null, protocols: new Map(), security: noSecurity },
        ],
      }),
    );
  });

  test('count requests and connections, by workloads and services', () => {
    const cart = { ...labels('cart'), principal: 'spiffe://cluster.local/ns/default/sa/50%' };
    assertGolden(
      goldenOfMetrics,
      input({
        services: [service('web', '10.96.0.1', port(80, 'http2')), service('db', '10.96.0.2', port(9, 'tcp'))],
        destinations: [
          destination('web', 80, 'http2', [endpoint('10.0.0.1', 8080, { labels: labels('web') })]),
          destination('db', 9, 'tcp', []),
        ],
        workloads: [
          { addresses: ['10.0.0.3'], labels: cart, protocols: new Map(), security: noSecurity },
          { addresses: ['10.0.0.4'], labels: cart, protocols: new Map(), security: noSecurity },
        ],
      }),
    );
  });

  test('read paths and clients as the settings say', () => {
    assertGolden(
      'settings',
      input({
        services: [service('web', '10.96.0.1', port(80, 'http1')), service('raw', '10.96.0.2', port(9, 'tcp'))],
        destinations: [destination('web', 80, 'http1', []), destination('raw', 9, 'tcp', [])],
        http: {
          pathNormalization: 'decode-and-merge-slashes',
          trustedProxies: 2,
          headers: { kibibytes: 16, count: 30 },
          accessLog: { format: { kind: 'json', fields: null }, sampling: 10 },
        },
      }),
    );
  });

  test('take a port of which nobody says what it speaks for HTTP as soon as there are rules for HTTP', () => {
    const { listeners, filterChains, routes } = buildWaypoint(
      input({ services: [service('what', '10.96.0.3', port(7000, null, { rules: [rule('what', 7000)] }))] }),
    );
    assert.deepEqual(
      filterChains.map(({ name }) => name),
      ['inbound-vip|7000|http|what.default.svc.cluster.local'],
    );
    assert.equal(routes.length, 1);
    assert.equal(listeners[0]?.listenerFilters.length, 1);
  });

  test('hold no endpoint on loopback, link-local or forbidden addresses', () => {
    const bad = ['127.0.0.1', '127.9.9.9', '::1', '169.254.169.254', 'fe80::1', '0.0.0.0', '192.168.7.1'];
    const { endpoints } = buildWaypoint(
      input({
        destinations: [
          destination(
            'web',
            80,
            'http1',
            [...bad, '10.0.0.1'].map((address) => endpoint(address, 80)),
          ),
        ],
        forbiddenAddresses: new Set(['192.168.7.1']),
      }),
    );
    const addresses = endpoints[0]?.endpoints.flatMap(({ lbEndpoints }) => lbEndpoints) ?? [];
    assert.equal(addresses.length, 1);
    assert.match(JSON.stringify(addresses[0]?.hostIdentifier.value), /10\.0\.0\.1/);
  });

  test('give the first of two services the address and port that both claim', () => {
    const claims = input({
      services: [service('a', '10.96.0.1', port(80, 'http1')), service('b', '10.96.0.1', port(80, 'http1'))],
    });
    // Envoy takes the first that leads anywhere.
    const text = JSON.stringify(resourcesJson(buildWaypoint(claims)).listeners[0]?.['filterChainMatcher']);
    const [first, second] = ['a', 'b'].map((name) => text.indexOf(`inbound-vip|80|http|${name}.default`));
    assert.ok(first !== undefined && second !== undefined && first > 0 && first < second);
  });

  test('know limits, outliers, keepalive and how one endpoint of many is chosen', () => {
    const warmUp = { duration: 30_000, minimumPercent: 10, aggression: 2 };
    assertGolden(
      'traffic-policies',
      input({
        services: [service('web', '10.96.0.1', port(80, 'http1'))],
        destinations: [
          destination('web', 80, 'http1', [endpoint('10.0.0.1', 80)], {
            policy: policy({ balancer: { kind: 'round-robin', warmUp }, connectTimeout: 1500 }),
          }),
          destination('warm', 80, 'http1', [], { policy: policy({ balancer: { kind: 'least-request', warmUp } }) }),
          destination('random', 80, 'http1', [], { policy: policy({ balancer: { kind: 'random' } }) }),
          destination('passthrough', 80, 'http1', [], { policy: policy({ balancer: { kind: 'passthrough' } }) }),
          destination('ring', 80, 'http1', [], {
            subset: 'v1',
            policy: policy({
              balancer: { kind: 'hash', key: { kind: 'source-address' }, table: { kind: 'ring', minimumSize: 64 } },
            }),
          }),
          destination('maglev', 80, 'http1', [], {
            policy: policy({
              balancer: { kind: 'hash', key: { kind: 'header', name: 'x' }, table: { kind: 'maglev', size: 5003 } },
            }),
          }),
          destination('limited', 80, 'grpc', [], {
            policy: policy({
              tcpKeepalive: { probes: 3, time: 7_200_000, interval: 75_000 },
              limits: {
                connections: 100,
                pendingRequests: 10,
                requests: 50,
                retries: 3,
                requestsPerConnection: 1,
                concurrentStreams: 20,
                idleTimeout: 60_000,
                tcpIdleTimeout: null,
                connectionAge: 3_600_000,
                upgrade: 'always',
              },
              outliers: {
                consecutiveServerErrors: 5,
                consecutiveGatewayErrors: 0,
                consecutiveLocalFailures: 3,
                splitLocalErrors: true,
                interval: 10_000,
                baseEjectionTime: 30_000,
                maximumEjectedPercent: 50,
                minimumHealthPercent: 30,
              },
            }),
          }),
        ],
      }),
    );
  });

  test('speak TLS to what is outside of the mesh, and look its names up', () => {
    const list = [endpoint('api.example.com', 443)];
    assertGolden(
      'outside',
      input({
        services: [service('api', '240.240.0.1', port(443, 'http1'))],
        destinations: [
          destination('api', 443, 'http1', [], {
            endpoints: { kind: 'dns', list },
            policy: policy({
              tls: {
                serverName: 'api.example.com',
                subjectAltNames: [],
                roots: null,
                certificate: null,
                insecure: false,
              },
            }),
          }),
        ],
      }),
    );
  });

  test('expect the name of the host where nobody says another, and of many hosts that of the request', () => {
    const unnamed = policy({
      tls: { serverName: null, subjectAltNames: [], roots: null, certificate: null, insecure: false },
    });
    assertGolden(
      'outside-unnamed',
      input({
        services: [
          service('api', '240.240.0.1', port(443, 'http1')),
          service('any', '240.240.0.2', port(443, 'http1')),
        ],
        destinations: [
          destination('api', 443, 'http1', [], {
            endpoints: { kind: 'dns', list: [endpoint('api.example.com', 443)] },
            policy: unnamed,
          }),
          destination('any', 443, 'http1', [endpoint('192.0.2.1', 443)], {
            hostname: '*.example.com',
            policy: unnamed,
          }),
        ],
      }),
    );
  });

  test('take a port of which nobody says what it speaks for HTTP where tokens or limits hold', () => {
    const limit = {
      name: 'a/0',
      target: 'Service default/web',
      requests: 1,
      interval: 1000,
      burst: 1,
      per: 'all',
    } as const;
    const limited = { ...noSecurity, limits: [limit] };
    const silent = { protocol: null, rules: null } as const;
    assert.equal(carriedBy({ security: noSecurity }, silent), 'unknown');
    assert.equal(carriedBy({ security: limited }, silent), 'http');
    assert.equal(carriedBy({ security: limited }, { ...silent, protocol: 'tcp' }), 'tcp');
  });

  test('prefer near endpoints, or share by weight', () => {
    const at = (region: string, zone: string, address: string) =>
      endpoint(address, 80, { locality: { region, zone, subzone: '' } });
    const list = [
      at('eu', 'a', '10.0.0.1'),
      at('eu', 'b', '10.0.0.2'),
      at('us', 'a', '10.0.0.3'),
      at('ap', 'a', '10.0.0.4'),
    ];
    assertGolden(
      'localities',
      input({
        services: [service('web', '10.96.0.1', port(80, 'http1'))],
        locality: { region: 'eu', zone: 'a', subzone: '' },
        destinations: [
          destination('web', 80, 'http1', list, {
            policy: policy({
              locality: { kind: 'prefer', scopes: ['region', 'zone'], failover: [{ from: 'eu', to: 'us' }] },
            }),
          }),
          destination('shared', 80, 'http1', list, {
            policy: policy({
              locality: {
                kind: 'weighted',
                distribution: [
                  { locality: 'eu/a/*', weight: 80 },
                  { locality: 'eu/*', weight: 20 },
                ],
              },
            }),
          }),
        ],
      }),
    );
  });
});
