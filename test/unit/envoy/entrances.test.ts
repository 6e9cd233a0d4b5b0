import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toBinary, toJson } from '@bufbuild/protobuf';

import { buildWaypoint } from '../../../src/envoy/build.ts';
import { beyondLimits, withClosed } from '../../../src/envoy/entrance-limits.ts';
import { entranceOf, workloadEntrances } from '../../../src/envoy/entrances.ts';
import type { Entrance } from '../../../src/envoy/entrances.ts';
import { gatesOf, withClosedGates } from '../../../src/envoy/gated-listener.ts';
import { buildListener } from '../../../src/envoy/listener.ts';
import type { BoundService, BoundWorkload } from '../../../src/envoy/model.ts';
import { envoyTypes } from '../../../src/envoy/registry.ts';
import { noSecurity } from '../../../src/envoy/security/model.ts';
import type { Security } from '../../../src/envoy/security/model.ts';
import { ListenerSchema } from '../../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import { input, port, service } from '../../support/envoy/inputs.ts';
import { connectionTo } from '../../support/envoy/gateway-inputs.ts';
import { policy, securityOfWeb } from '../../support/envoy/security.ts';

function allowing(principals: number): Security {
  const names = Array.from({ length: principals }, (_, index) => `cluster.local/ns/shop/sa/account-${index}`);
  return securityOfWeb([policy({ rules: [{ from: [{ source: { principals: names } }] }] })]);
}

function database(addresses: number, ports: number, principals: number): BoundService {
  const numbers = Array.from({ length: ports }, (_, index) => port(1000 + index, 'tcp'));
  return {
    ...service('database', '', ...numbers),
    addresses: Array.from({ length: addresses }, (_, index) => `10.96.0.${index + 1}`),
    security: allowing(principals),
  };
}

function pods(count: number, principals: number): readonly BoundWorkload[] {
  return Array.from({ length: count }, (_, index) => ({
    addresses: [`10.0.0.${index + 1}`],
    labels: null,
    protocols: new Map([[5432, 'tcp' as const]]),
    security: allowing(principals),
  }));
}

function sizeOf(...entrances: Parameters<typeof buildListener>[0]): number {
  const listener = buildListener(entrances);
  return listener === null ? 0 : toBinary(ListenerSchema, listener).length;
}

describe('who may connect', () => {
  const sizeOfDatabase = (addresses: number, ports: number, principals: number): number =>
    sizeOf(entranceOf(database(addresses, ports, principals)));

  test('is written once for all addresses and ports of a service', () => {
    const [addresses, ports, principals] = [200, 200, 500];
    const alone = sizeOfDatabase(1, 1, principals);
    const perPort = (sizeOfDatabase(1, 11, 1) - sizeOfDatabase(1, 1, 1)) / 10;
    const perAddress = (sizeOfDatabase(11, 1, 1) - sizeOfDatabase(1, 1, 1)) / 10;
    const sum = alone + 1.1 * (perPort * ports + perAddress * addresses);
    assert.ok(sizeOfDatabase(addresses, ports, principals) < sum);
  });

  test('is written once for all workloads that are called alike', () => {
    const principals = 500;
    const alone = sizeOf(...workloadEntrances(pods(1, principals)));
    assert.ok(sizeOf(...workloadEntrances(pods(200, principals))) < alone + 200 * 100);
  });

  test('is asked of as much as there is room for, and the rest is closed', () => {
    const [small, large, last] = [3, 8, 3].map((principals) => entranceOf(database(1, 1, principals)));
    assert.ok(small !== undefined && large !== undefined && last !== undefined);
    assert.deepEqual([small.asked, large.asked], [3, 8]);
    const closed = (entrances: readonly Entrance[], each: number, all: number) => [
      ...beyondLimits(entrances, 'shop', { each, all }),
    ];
    assert.deepEqual(closed([small, large, last], 5, 100), [large]);
    assert.deepEqual(closed([small, large, last], 100, 5), [large, last]);
    assert.deepEqual(closed([small, last], 100, 6), []);
    const [open, refused] = withClosed([small, large], new Set([large]));
    assert.deepEqual([open?.branch, refused?.branch, refused?.asked], [small.branch, large.refusing, 0]);
  });

  test('costs nothing where only requests are carried, whose rules come with the routes', () => {
    const web = { ...service('web', '10.96.0.1', port(80, 'http1')), security: allowing(9) };
    assert.equal(entranceOf(web).asked, 0);
  });

  test('is nobody once the gates of a listener are closed, and requests go on', () => {
    const mixed = { ...service('mixed', '10.96.0.1', port(80, 'http1'), port(9, 'tcp')), security: allowing(2) };
    const open = service('open', '10.96.0.2', port(9, 'tcp'));
    const listener = buildListener([entranceOf(mixed), entranceOf(open)]);
    assert.ok(listener !== null);
    assert.equal(gatesOf(listener).length, 1);
    const closed = withClosedGates(listener);
    assert.equal(gatesOf(closed).length, 0);
    const expected = buildListener([{ ...entranceOf(mixed), branch: entranceOf(mixed).refusing }, entranceOf(open)]);
    assert.deepEqual(closed, expected);
  });
});

describe('the room for who may connect', () => {
  const asking = (namespace: string, ...asked: readonly number[]): readonly Entrance[] =>
    asked.map((size) => entranceOf({ ...database(1, 1, size), namespace }));
  const closedOf = (entrances: readonly Entrance[], all: number): readonly string[] =>
    [...beyondLimits(entrances, 'own', { each: 100, all })].map(
      ({ namespace, asked }) => `${namespace ?? ''} ${asked}`,
    );

  test('is the same for each namespace, whichever comes first', () => {
    const [greedy, modest] = [asking('a', 10, 11, 12, 13), asking('b', 9, 10)];
    for (const entrances of [
      [...greedy, ...modest],
      [...modest, ...greedy],
    ]) {
      assert.deepEqual(closedOf(entrances, 41), ['a 12', 'a 13']);
    }
  });

  test('is the waypoint’s own namespace’s first', () => {
    assert.deepEqual(closedOf([...asking('a', 10, 11), ...asking('own', 12, 13)], 36), ['a 11']);
  });

  test('is the others’ where one needs less than its share', () => {
    assert.deepEqual(closedOf([...asking('a', 40), ...asking('b', 2), ...asking('c', 41)], 82), ['c 41']);
    assert.deepEqual(closedOf([...asking('a', 40), ...asking('b', 2), ...asking('c', 40)], 82), []);
  });
});

describe('which rule takes a connection', () => {
  const ruled = (addresses: number, names: number): BoundService => {
    const connections = Array.from({ length: names }, (_, index) =>
      connectionTo('database', { serverNames: [`name-${index}.example.com`] }),
    );
    return { ...database(addresses, 0, 1), ports: [port(443, 'tls', { connections })], security: noSecurity };
  };

  test('is written once for all addresses of a service', () => {
    assert.ok(sizeOf(entranceOf(ruled(250, 500))) < sizeOf(entranceOf(ruled(1, 500))) + 250 * 100);
  });

  test('is asked within the same limits as who may connect', () => {
    const from = {
      namespace: 'shop',
      labels: new Map([
        ['app', 'web'],
        ['tier', 'front'],
      ]),
      block: '10.0.0.0/8',
      destinations: ['10.96.0.0/16', '10.97.0.0/16'],
    };
    const rule = connectionTo('database', { serverNames: ['a.example.com', 'b.example.com'], from });
    const open = connectionTo('database');
    const asking: BoundService = { ...database(1, 0, 3), ports: [port(443, 'tls', { connections: [rule, open] })] };
    const entrance = entranceOf(asking);
    assert.equal(entrance.asked, 3 + 8);
    assert.deepEqual([...beyondLimits([entrance], null, { each: 10, all: 100 })], [entrance]);
  });

  test('is none once they ask too much, and whoever comes is refused by a chain that is there', () => {
    const large = ruled(1, 5_000);
    const { listeners, filterChains } = buildWaypoint(input({ services: [large] }));
    const text = JSON.stringify(
      listeners.map((listener) => toJson(ListenerSchema, listener, { registry: envoyTypes })),
    );
    const { hostname } = large;
    assert.match(text, /\|refused/);
    assert.doesNotMatch(text, /name-0/);
    const used = filterChains.filter(({ name }) => text.includes(JSON.stringify(name)));
    assert.deepEqual(
      used.map(({ name }) => name),
      [`inbound-vip|443|tcp|${hostname}|refused`],
    );
  });
});

describe('the name that a client of TLS asks for', () => {
  const byName = securityOfWeb([
    policy({ rules: [{ when: [{ key: 'connection.sni', notValues: ['a.example.com'] }] }] }),
  ]);
  const workload: BoundWorkload = {
    addresses: ['10.0.0.1'],
    labels: null,
    protocols: new Map([
      [443, 'tls'],
      [80, 'http1'],
    ]),
    security: noSecurity,
  };
  const readingNames = (security: Security): readonly string[] => {
    const listener = buildListener(workloadEntrances([{ ...workload, security }]));
    return (listener?.listenerFilters ?? []).map(({ name }) => name);
  };

  test('is read of connections to workloads whose policies ask for it, and of no others', () => {
    assert.ok(readingNames(byName).includes('envoy.filters.listener.tls_inspector'));
    assert.ok(!readingNames(noSecurity).includes('envoy.filters.listener.tls_inspector'));
  });

  test('has to be there where all but some are allowed', () => {
    const [rule] = byName.policies[0]?.rules ?? [];
    const named = { kind: 'server-name', match: { kind: 'present' } };
    const other = { kind: 'server-name', match: { kind: 'exact', value: 'a.example.com', ignoreCase: false } };
    assert.deepEqual(rule?.operation, { kind: 'all', of: [{ kind: 'not', of: other }, named] });
  });

  test('need not be there where some are denied', () => {
    const denying = policy({ action: 'DENY', rules: [{ when: [{ key: 'connection.sni', notValues: ['a'] }] }] });
    const [rule] = securityOfWeb([denying]).policies[0]?.rules ?? [];
    assert.equal(rule?.operation.kind, 'not');
  });
});
