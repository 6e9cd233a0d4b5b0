import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { settlePorts } from '../../../../../src/envoy/gateways/servers/settle-ports.ts';
import { coveringPatterns } from '../../../../../src/envoy/gateways/routes/hostnames.ts';
import { routedPort } from '../../../../../src/envoy/gateways/routes/routed-port.ts';
import { Door } from '../../../../support/envoy/gateway-doors.ts';
import type { Manifests, Written } from '../../../../support/envoy/gateway-doors.ts';

const services = { 'one/backend': [80], 'two/backend': [80] };

function gateway(namespace: string, hosts: readonly string[], created: string): Written {
  const servers = [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts }];
  return { name: 'gateway', namespace, created, spec: { servers } };
}

function virtual(namespace: string, gateways: readonly string[], hosts: readonly string[], name = 'v'): Written {
  const http = [{ match: [{ uri: { prefix: `/${namespace}` } }], route: [{ destination: { host: 'backend' } }] }];
  return { name, namespace, spec: { hosts, gateways, http } };
}

void describe('tenants of one gateway', () => {
  test('get nothing of a host that another’s server has by a closer name', () => {
    const IstioGateway = [
      gateway('one', ['*'], '2025-01-01T00:00:00Z'),
      gateway('two', ['two/two.example'], '2026-01-01T00:00:00Z'),
    ];
    const VirtualService = [virtual('one', ['gateway'], ['two.example', '*.example', '*'])];
    const door = new Door({ IstioGateway, VirtualService }, { services });
    assert.equal(door.answer('two.example', { path: '/one' }), 404);
    assert.equal(door.answer('other.example', { path: '/one' }), 'backend');
  });

  test('get nothing of a host by a Gateway of their own where the older one is not for them', () => {
    const old = gateway('two', ['two/two.example'], '2025-01-01T00:00:00Z');
    const young = gateway('one', ['two.example'], '2026-01-01T00:00:00Z');
    const VirtualService = [virtual('one', ['gateway'], ['two.example']), virtual('two', ['gateway'], ['two.example'])];
    const door = new Door({ IstioGateway: [young, old], VirtualService }, { services });
    assert.equal(door.answer('two.example', { path: '/one' }), 404);
    assert.equal(door.answer('two.example', { path: '/two' }), 'backend');
    assert.deepEqual(door.reasons, ['VirtualService one/v HostConflict']);
  });

  test('share a host that the oldest server leaves to everybody', () => {
    const old = gateway('two', ['two.example'], '2025-01-01T00:00:00Z');
    const young = gateway('one', ['two.example'], '2026-01-01T00:00:00Z');
    const VirtualService = [virtual('one', ['gateway'], ['two.example']), virtual('two', ['gateway'], ['two.example'])];
    const door = new Door({ IstioGateway: [young, old], VirtualService }, { services });
    assert.equal(door.answer('two.example', { path: '/one' }), 'backend');
    assert.equal(door.answer('two.example', { path: '/two' }), 'backend');
  });

  test('are not redirected by what another says of every host', () => {
    const secured = {
      servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'], tls: { httpsRedirect: true } }],
    };
    const IstioGateway = [
      { ...gateway('one', [], ''), spec: secured },
      gateway('two', ['two.example'], '2026-01-01T00:00:00Z'),
    ];
    const { serves } = new Door({ IstioGateway }, { services }).port();
    assert.ok(serves.kind === 'http');
    const two = serves.hosts.find(({ domains }) => domains.includes('two.example'));
    assert.equal(two?.redirectToHttps, false);
  });
});

const names = ['a.example', 'b.a.example', '*.example', '*.a.example', '*'];
const namespaces = ['one', 'two'];
const someNames = fc.subarray(names, { minLength: 1 });
const created = fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z');

const someGateways = fc.uniqueArray(
  fc.record({
    namespace: fc.constantFrom(...namespaces),
    hosts: fc.uniqueArray(
      fc.tuple(fc.constantFrom('', './', 'one/', '*/'), fc.constantFrom(...names)).map((parts) => parts.join('')),
      { minLength: 1, maxLength: 3 },
    ),
    created,
  }),
  { selector: ({ namespace }) => namespace, maxLength: 2 },
);

const someVirtualServices = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('v', 'w'),
    namespace: fc.constantFrom(...namespaces),
    gateways: fc.subarray(['one/gateway', 'two/gateway']),
    hosts: someNames,
    created,
  }),
  { selector: ({ namespace, name }) => `${namespace}/${name}`, maxLength: 4 },
);

const mesh = fc.record({ gateways: someGateways, virtualServices: someVirtualServices });

function manifestsOf({
  gateways,
  virtualServices,
}: typeof mesh extends fc.Arbitrary<infer Value> ? Value : never): Manifests {
  return {
    IstioGateway: gateways.map((one) => gateway(one.namespace, one.hosts, one.created)),
    VirtualService: virtualServices.map((one) => ({
      ...virtual(one.namespace, one.gateways, one.hosts, one.name),
      created: one.created,
    })),
  };
}

test('whatever there is, each domain is served once, and by those alone to whom the closest server gives it', () => {
  fc.assert(
    fc.property(mesh, (some) => {
      const door = new Door(manifestsOf(some), { services });
      if (door.servers.length === 0) return;
      const { serves } = door.port();
      assert.ok(serves.kind === 'http');
      const domains = serves.hosts.flatMap((host) => host.domains);
      assert.equal(new Set(domains).size, domains.length);
      for (const { domains: own, rules } of serves.hosts) {
        for (const domain of own) {
          const closest = coveringPatterns(domain).find((name) =>
            door.servers.some(({ hosts }) => hosts.some((host) => host.name === name)),
          );
          const giving = door.servers.flatMap(({ hosts }) => hosts).filter(({ name }) => name === closest);
          for (const { name } of rules) {
            const [namespace] = name.split('/');
            assert.ok(
              giving.some((host) => host.namespace === null || host.namespace === namespace),
              `${name} at ${domain}`,
            );
          }
        }
      }
    }),
  );
});

test('what is served does not depend on the order in which documents come', () => {
  fc.assert(
    fc.property(mesh, (some) => {
      const given = manifestsOf(some);
      const turned = Object.fromEntries(
        Object.entries(given).map(([kind, written]) => [kind, (written as readonly Written[]).toReversed()]),
      );
      const [one, two] = [new Door(given, { services }), new Door(turned, { services })];
      for (const port of settlePorts(one.servers).ports) {
        const at = (door: Door) =>
          settlePorts(door.servers)
            .ports.filter(({ number }) => number === port.number)
            .map((settled) => routedPort({ port: settled, routes: door.routes, namespace: 'default' }, door.lookups));
        assert.deepEqual(at(one), at(two));
      }
    }),
  );
});

const someRoutes = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('r', 's', 't'),
    hostnames: fc.subarray(names.filter((name) => name !== '*')),
    sectionName: fc.constantFrom(null, 'exact', 'wide', 'all'),
    created,
  }),
  { selector: ({ name }) => name, minLength: 1 },
);

test('a request comes to routes of the closest listener alone, in whatever order routes come', () => {
  const listeners = { exact: 'a.example', wide: '*.example', all: null };
  fc.assert(
    fc.property(someRoutes, fc.constantFrom('a.example', 'b.a.example', 'c.example', 'elsewhere'), (routes, host) => {
      const HTTPRoute = routes.map((route) => ({
        name: route.name,
        created: route.created,
        spec: {
          parentRefs: [{ name: 'gateway', sectionName: route.sectionName }],
          hostnames: route.hostnames,
          rules: [{ matches: [{ path: { value: `/${route.name}` } }], backendRefs: [{ name: 'web', port: 80 }] }],
        },
      }));
      const Gateway = [
        {
          spec: {
            listeners: Object.entries(listeners).map(([name, hostname]) => ({
              name,
              hostname,
              port: 80,
              protocol: 'HTTP',
            })),
          },
        },
      ];
      const closest = host === 'a.example' ? 'exact' : host.endsWith('.example') ? 'wide' : 'all';
      const doors = [new Door({ Gateway, HTTPRoute }), new Door({ Gateway, HTTPRoute: HTTPRoute.toReversed() })];
      assert.deepEqual(doors[0]?.port(), doors[1]?.port());
      for (const { name, sectionName } of routes) {
        const isReached = doors[0]?.answer(host, { path: `/${name}` }) === 'web';
        assert.ok(!isReached || sectionName === null || sectionName === closest, `${name} at ${host}`);
      }
    }),
  );
});
