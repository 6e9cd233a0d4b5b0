import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { gatewayConditions } from '../../../../../src/envoy/gateways/routes/virtual-services.ts';
import { Door } from '../../../../support/envoy/gateway-doors.ts';
import type { Written } from '../../../../support/envoy/gateway-doors.ts';

const services = { web: [80], other: [80], third: [80], 'shop/cart': [80] };

function server(hosts: readonly string[], given: Readonly<Record<string, unknown>> = {}) {
  return { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts, ...given };
}

const anywhere = [{ spec: { servers: [server(['*'])] } }];

function virtual(name: string, spec: Readonly<Record<string, unknown>>, given: Partial<Written> = {}): Written {
  return { name, ...given, spec: { hosts: ['a.example'], gateways: ['gateway'], ...spec } };
}

function route(host: string, uri: string | null = null) {
  const match = uri === null ? {} : { match: [{ uri: { prefix: uri } }] };
  return { ...match, route: [{ destination: { host } }] };
}

function door(VirtualService: readonly Written[], IstioGateway: readonly Written[] = anywhere): Door {
  return new Door({ IstioGateway, VirtualService }, { services });
}

void describe('a VirtualService at a gateway', () => {
  test('is for the Gateways that it names, in every way to name them', () => {
    for (const [gateways, expected] of [
      [['gateway'], 'web'],
      [['default/gateway'], 'web'],
      [['./gateway'], 'web'],
      [['gateway.default.svc.cluster.local'], 'web'],
      [['mesh', 'gateway'], 'web'],
      [['other', 'away/gateway'], 404],
      [['mesh'], 404],
      [[], 404],
    ] as const)
      assert.equal(
        door([virtual('v', { gateways, http: [route('web')] })]).answer('a.example'),
        expected,
        gateways.join(),
      );
  });

  test('has the hosts that the server has, too', () => {
    const at = (hosts: readonly string[], ...asked: readonly string[]) =>
      door([virtual('v', { hosts, http: [route('web')] })], [{ spec: { servers: [server(asked)] } }]);
    assert.equal(at(['a.example'], '*.example').answer('a.example'), 'web');
    assert.equal(at(['*.example'], 'a.example').answer('a.example'), 'web');
    assert.equal(at(['*.example'], 'a.example').answer('b.example'), 404);
    assert.equal(at(['*'], 'a.example').answer('a.example'), 'web');
    assert.equal(at(['a.example'], 'b.example').answer('a.example'), 404);
    assert.equal(at(['web'], '*').answer('web.default.svc.cluster.local'), 'web');
  });

  test('of another namespace has a host only where the server is for that namespace', () => {
    const away = (given: Readonly<Record<string, unknown>>) =>
      virtual('v', { gateways: ['default/gateway'], http: [route('cart')], ...given }, { namespace: 'shop' });
    const answer = (host: string, given: Readonly<Record<string, unknown>> = {}) =>
      door([away(given)], [{ spec: { servers: [server([host])] } }]).answer('a.example');
    assert.equal(answer('a.example'), 'cart');
    assert.equal(answer('*/a.example'), 'cart');
    assert.equal(answer('shop/a.example'), 'cart');
    assert.equal(answer('./a.example'), 404);
    assert.equal(answer('others/*'), 404);
    assert.equal(answer('*', { exportTo: ['.'] }), 404);
    assert.equal(answer('*', { exportTo: ['default'] }), 'cart');
  });

  test('goes only where its namespace may', () => {
    const other = virtual('v', { http: [route('cart.shop.svc.cluster.local')] });
    const closed = door([other]);
    assert.equal(closed.answer('a.example'), '500');
    assert.deepEqual(closed.reasons, ['VirtualService default/v RefNotPermitted']);
  });

  test('matches by the gateway and the port that it names', () => {
    const http = [
      { match: [{ gateways: ['mesh'] }], route: [{ destination: { host: 'other' } }] },
      { match: [{ port: 81 }], route: [{ destination: { host: 'other' } }] },
      { match: [{ gateways: ['gateway'], port: 80 }], route: [{ destination: { host: 'web' } }] },
    ];
    assert.equal(door([virtual('v', { gateways: ['mesh', 'gateway'], http })]).answer('a.example'), 'web');
  });

  test('never matches by the labels or the namespace of a client from outside, which is told where it is for gateways alone', () => {
    for (const asked of [{ sourceLabels: { app: 'x' } }, { sourceNamespace: 'x' }]) {
      const http = [{ match: [asked], route: [{ destination: { host: 'other' } }] }, route('web')];
      const only = door([virtual('v', { http })]);
      assert.equal(only.answer('a.example'), 'web');
      assert.deepEqual(only.reasons, ['VirtualService default/v UnsupportedValue']);
      assert.deepEqual(door([virtual('v', { gateways: ['mesh', 'gateway'], http })]).reasons, []);
    }
  });

  test('shares its host with others: the oldest first, what is for all requests last', () => {
    const old = virtual('old', { http: [route('web', '/shared'), route('web')] }, { created: '2025-01-01T00:00:00Z' });
    const young = virtual('young', { http: [route('other', '/shared'), route('other', '/young'), route('other')] });
    const both = door([young, old]);
    for (const [path, expected] of [
      ['/shared', 'web'],
      ['/young', 'other'],
      ['/', 'web'],
    ] as const)
      assert.equal(both.answer('a.example', { path }), expected, path);
    assert.deepEqual(
      both.conditions.map(
        ({ resource, reason, message }) => `${resource} ${reason} ${/rule \S+/.exec(message)?.[0] ?? ''}`,
      ),
      [
        'VirtualService default/young HostConflict rule default/young/0',
        'VirtualService default/young HostConflict rule default/young/2',
      ],
    );
  });

  test('says nothing after a rule for all requests', () => {
    assert.equal(
      door([virtual('v', { http: [route('web'), route('other', '/x')] })]).answer('a.example', { path: '/x' }),
      'web',
    );
  });

  test('is redirected to https where the server says so, also where no VirtualService is for the host', () => {
    const secured = [{ spec: { servers: [server(['a.example', 'b.example'], { tls: { httpsRedirect: true } })] } }];
    const { serves } = door([virtual('v', { http: [route('web')] })], secured).port();
    assert.ok(serves.kind === 'http');
    assert.deepEqual(
      serves.hosts.map(({ domains, redirectToHttps }) => [domains, redirectToHttps]),
      [
        [['a.example'], true],
        [['b.example'], true],
      ],
    );
  });

  test('leads TLS on by its names, within its own hosts', () => {
    const tls = { port: { number: 443, name: 'tls', protocol: 'TLS' }, tls: { mode: 'PASSTHROUGH' } };
    const to = (host: string, ...sniHosts: readonly string[]) => ({
      match: [{ sniHosts, port: 443 }],
      route: [{ destination: { host, port: { number: 80 } } }],
    });
    const one = virtual('v', {
      hosts: ['*.example'],
      tls: [to('web', '*.example'), to('other', 'a.example'), to('third', 'a.elsewhere')],
    });
    const passing = door([one], [{ spec: { servers: [server(['*'], tls)] } }]);
    assert.deepEqual(passing.connected('b.example', 443), ['web']);
    assert.deepEqual(passing.connected('a.example', 443), ['other']);
    assert.deepEqual(passing.connected('a.elsewhere', 443), []);
  });

  test('leads connections on where TLS ends, and where there is none', () => {
    const servers = [
      server(['a.example'], {
        port: { number: 443, name: 'tls', protocol: 'TLS' },
        tls: { mode: 'SIMPLE', credentialName: 'certificate' },
      }),
      server(['*'], { port: { number: 9000, name: 'tcp', protocol: 'TCP' } }),
    ];
    const to = (host: string, port: number) => ({
      match: [{ port }],
      route: [{ destination: { host, port: { number: 80 } } }],
    });
    const VirtualService = [virtual('v', { tcp: [to('web', 443), to('other', 9000)] })];
    const open = door(VirtualService, [{ spec: { servers } }]);
    assert.deepEqual([open.connected('a.example', 443), open.connected(null, 9000)], [['web'], ['other']]);
  });

  test('tells of Gateways that are not there, and of those that have none of its hosts', () => {
    const { routes, servers, lookups } = door(
      [virtual('v', { gateways: ['gateway', 'gone'] })],
      [{ spec: { servers: [server(['b.example'])] } }],
    );
    const [document] = routes.virtualServices;
    assert.ok(document !== undefined);
    const serversOf = (name: string) => (name === 'default/gateway' ? servers : null);
    assert.deepEqual(
      gatewayConditions(document, serversOf, lookups).map(({ reason }) => reason),
      ['NoMatchingListenerHostname', 'NoMatchingParent'],
    );
  });
});
