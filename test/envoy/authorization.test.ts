import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { SecurityPart } from '../../src/envoy/security/part.ts';
import { defaultHttpSettings } from '../../src/envoy/model.ts';
import { destination, endpoint, input, port, service } from '../support/envoy/inputs.ts';
import { ask, readAll, readFirst } from '../support/envoy/requests.ts';
import type { Asked } from '../support/envoy/requests.ts';
import { policy, securityOfWeb } from '../support/envoy/security.ts';
import { echoServer, greeter, httpServer } from '../support/envoy/servers.ts';
import { escapeRegex } from '../../src/envoy/values.ts';
import { envoySuite } from '../support/envoy/suite.ts';

type Rule = Readonly<Record<string, unknown>>;

const operation = (fields: Rule) => [{ to: [{ operation: fields }] }];
const source = (fields: Rule) => [{ from: [{ source: fields }] }];
const when = (key: string, ...values: readonly string[]) => [{ when: [{ key, values }] }];

/** One address for each; what is denied there is answered 403. */
const denials: Readonly<Record<string, readonly unknown[]>> = {
  'paths, exact': operation({ paths: ['/admin'] }),
  'paths, beginning': operation({ paths: ['/admin/*'] }),
  'paths, end': operation({ paths: ['*.php'] }),
  'paths, one segment': operation({ paths: ['/a/{*}/c'] }),
  'paths, all the rest': operation({ paths: ['/a/{**}'] }),
  notPaths: operation({ notPaths: ['/open'] }),
  methods: operation({ methods: ['POST'] }),
  notMethods: operation({ notMethods: ['GET'] }),
  hosts: operation({ hosts: ['web.example.com'] }),
  'hosts, end': operation({ hosts: ['*.example.com'] }),
  notHosts: operation({ notHosts: ['web'] }),
  ports: operation({ ports: ['80'] }),
  'ports, another': operation({ ports: ['81'] }),
  notPorts: operation({ notPorts: ['80'] }),
  principals: source({ principals: ['cluster.local/ns/default/sa/client'] }),
  'principals, end': source({ principals: ['*/sa/client'] }),
  notPrincipals: source({ notPrincipals: ['cluster.local/ns/default/sa/client'] }),
  namespaces: source({ namespaces: ['def*'] }),
  notNamespaces: source({ notNamespaces: ['default'] }),
  serviceAccounts: source({ serviceAccounts: ['default/client'] }),
  notServiceAccounts: source({ notServiceAccounts: ['client'] }),
  ipBlocks: source({ ipBlocks: ['10.9.0.0/24'] }),
  notIpBlocks: source({ notIpBlocks: ['10.9.0.9'] }),
  remoteIpBlocks: source({ remoteIpBlocks: ['203.0.113.0/24'] }),
  notRemoteIpBlocks: source({ notRemoteIpBlocks: ['10.9.0.9'] }),
  'request.headers': when('request.headers[x-team]', 'red*'),
  'request.headers, any': when('request.headers[x-team]', '*'),
  'source.ip': when('source.ip', '10.9.0.9'),
  'remote.ip': when('remote.ip', '10.9.0.9'),
  'source.namespace': when('source.namespace', 'default'),
  'source.principal': when('source.principal', 'cluster.local/ns/default/sa/client'),
  'source.serviceAccount': when('source.serviceAccount', 'client'),
  'destination.ip': when('destination.ip', '10.96.0.0/16'),
  'destination.port': when('destination.port', '80'),
  'connection.sni': when('connection.sni', 'web'),
  'an experimental key': when('experimental.envoy.filters.network.mysql_proxy[db.table]', 'db'),
  'no rules': [],
  'all of a rule': [
    { to: [{ operation: { methods: ['POST'] } }], when: [{ key: 'request.headers[x-team]', values: ['red'] }] },
  ],
};

const names = Object.keys(denials);
const addressOf = (name: string) => `10.96.1.${names.indexOf(name) + 1}`;

interface Expected {
  readonly denied?: readonly Asked[];
  readonly passed?: readonly Asked[];
}

const red = { headers: { 'x-team': 'reds' } };
const expectations: Readonly<Record<string, Expected>> = {
  'paths, exact': {
    denied: [{ path: '/admin' }, { path: '/admin?x=1' }, { path: '//admin' }],
    passed: [{ path: '/admin/' }, { path: '/a' }],
  },
  'paths, beginning': { denied: [{ path: '/admin/x' }, { path: '/x/../admin/y' }], passed: [{ path: '/admin' }] },
  'paths, end': { denied: [{ path: '/x/y.php' }, { path: '/y.php?a' }], passed: [{ path: '/php' }] },
  'paths, one segment': {
    denied: [{ path: '/a/b/c' }, { path: '/a/b/c?d' }],
    passed: [{ path: '/a/c' }, { path: '/a/b/b/c' }],
  },
  'paths, all the rest': { denied: [{ path: '/a/' }, { path: '/a/b/c' }], passed: [{ path: '/a' }, { path: '/b' }] },
  notPaths: { denied: [{ path: '/' }], passed: [{ path: '/open' }] },
  methods: { denied: [{ method: 'POST' }], passed: [{}] },
  notMethods: { denied: [{ method: 'POST' }], passed: [{}] },
  hosts: {
    denied: ['web.example.com', 'WEB.example.com:80', 'web.example.com.'].map((host) => ({ headers: { host } })),
    passed: [{}, { headers: { host: 'web.example.com.evil' } }],
  },
  'hosts, end': {
    denied: [{ headers: { host: 'a.Example.com:8080' } }],
    passed: [{ headers: { host: 'example.com' } }],
  },
  notHosts: { denied: [{ headers: { host: 'other' } }], passed: [{}] },
  ports: { denied: [{}] },
  'ports, another': { passed: [{}] },
  notPorts: { passed: [{}] },
  principals: { denied: [{}] },
  'principals, end': { denied: [{}] },
  notPrincipals: { passed: [{}] },
  namespaces: { denied: [{}] },
  notNamespaces: { passed: [{}] },
  serviceAccounts: { denied: [{}] },
  notServiceAccounts: { passed: [{}] },
  ipBlocks: { denied: [{}, { headers: { 'x-forwarded-for': '203.0.113.5' } }] },
  notIpBlocks: { passed: [{}] },
  remoteIpBlocks: { denied: [{ headers: { 'x-forwarded-for': '203.0.113.5' } }], passed: [{}] },
  notRemoteIpBlocks: { denied: [{ headers: { 'x-forwarded-for': '203.0.113.5' } }], passed: [{}] },
  'request.headers': { denied: [red], passed: [{}] },
  'request.headers, any': { denied: [red], passed: [{}] },
  'source.ip': { denied: [{}] },
  'remote.ip': { denied: [{}], passed: [{ headers: { 'x-forwarded-for': '203.0.113.5' } }] },
  'source.namespace': { denied: [{}] },
  'source.principal': { denied: [{}] },
  'source.serviceAccount': { denied: [{}] },
  'destination.ip': { denied: [{}] },
  'destination.port': { denied: [{}] },
  'connection.sni': { passed: [{}] },
  'an experimental key': { passed: [{}] },
  'no rules': { passed: [{}] },
  'all of a rule': { denied: [{ method: 'POST', headers: { 'x-team': 'red' } }], passed: [{ method: 'POST' }] },
};

envoySuite(
  'a waypoint denies by',
  async () => ({ web: await httpServer('web') }),
  ({ web }) =>
    input({
      services: Object.entries(denials).map(([name, rules]) => ({
        ...service('web', addressOf(name), port(80, 'http1')),
        hostname: `s${names.indexOf(name)}.example`,
        security: securityOfWeb([policy({ action: 'DENY', rules })]),
      })),
      destinations: names.map((_, index) => ({
        ...destination('web', 80, 'http1', [endpoint('10.0.0.1', web.port)]),
        hostname: `s${index}.example`,
      })),
      http: { ...defaultHttpSettings, trustedProxies: 1 },
    }),
  (waypoint) => {
    for (const [name, { denied = [], passed = [] }] of Object.entries(expectations)) {
      test(name, async () => {
        const status = async (asked: Asked) =>
          (await ask(await waypoint().envoy.connect(addressOf(name), 80), asked)).status;
        assert.deepEqual(
          await Promise.all(denied.map(status)),
          denied.map(() => 403),
        );
        assert.deepEqual(
          await Promise.all(passed.map(status)),
          passed.map(() => 200),
        );
      });
    }

    test('an identity that is not there', async () => {
      const { envoy } = waypoint();
      const statuses = await Promise.all(
        ['principals', 'notPrincipals', 'notNamespaces'].map(
          async (name) => (await ask(await envoy.connect(addressOf(name), 80, { facts: new Map() }))).status,
        ),
      );
      assert.deepEqual(statuses, [200, 403, 403]);
    });
  },
);

const fromClient = source({ principals: ['cluster.local/ns/default/sa/client'] });

/** What a port of bytes asks, by its number. The client is at 10.1.0.1. */
const connections: Readonly<Record<number, readonly SecurityPart[]>> = {
  1: [],
  2: [policy({ rules: fromClient })],
  3: [policy({ action: 'DENY', rules: fromClient })],
  4: [policy({ rules: [{ ...fromClient[0], ...operation({ methods: ['GET'] })[0] }] })],
  5: [policy({ action: 'DENY', rules: operation({ paths: ['/admin'] }) })],
  6: [
    policy({
      action: 'DENY',
      rules: [{ ...operation({ paths: ['/a'] })[0], ...source({ namespaces: ['other'] })[0] }],
    }),
  ],
};

envoySuite(
  'a waypoint of bytes',
  async () => ({ bytes: await echoServer('bytes'), greeter: await greeter('220 hello\r\n') }),
  (servers) =>
    input({
      services: Object.entries(connections).map(([index, parts]) => ({
        ...service('web', `10.96.2.${index}`, port(25, 'tcp'), port(26, 'tcp')),
        hostname: `b${index}.example`,
        security: securityOfWeb(parts),
      })),
      destinations: Object.keys(connections).flatMap((index) =>
        (
          [
            [25, servers.greeter.port],
            [26, servers.bytes.port],
          ] as const
        ).map(([at, to]) => ({
          ...destination('web', at, 'tcp', [endpoint('10.0.0.1', to)]),
          hostname: `b${index}.example`,
        })),
      ),
    }),
  (waypoint) => {
    const says = async (index: number) => {
      const socket = await waypoint().envoy.connect(`10.96.2.${index}`, 26);
      socket.write('ping');
      return readFirst(socket, 3_000).catch(() => 'nothing');
    };
    test('lets those in whom its policies allow', async () => {
      assert.deepEqual([await says(1), await says(2)], ['bytes:ping', 'bytes:ping']);
    });

    test('refuses whom they deny', async () => {
      assert.equal(await says(3), 'nothing');
    });

    test('lets whom they deny hear nothing of a server that speaks first', async () => {
      const hears = async (index: number) => readAll(await waypoint().envoy.connect(`10.96.2.${index}`, 25), 2_000);
      assert.deepEqual(await Promise.all([3, 4, 5].map(hears)), ['', '', '']);
      const greeted = await Promise.all(
        [1, 2, 6].map(async (index) => readFirst(await waypoint().envoy.connect(`10.96.2.${index}`, 25))),
      );
      assert.deepEqual(new Set(greeted), new Set(['220 hello\r\n']));
    });

    test('counts those who are not let in', async () => {
      const refused = 'tcp.inbound-vip|25|tcp|b3;example|refused.downstream_cx_total';
      assert.match(await waypoint().envoy.admin('/stats'), new RegExp(`^${escapeRegex(refused)}: [1-9]`, 'm'));
    });

    test('allows nothing by a rule that asks for HTTP', async () => {
      assert.equal(await says(4), 'nothing');
    });

    test('denies by what is left of a rule that asks for HTTP', async () => {
      assert.deepEqual([await says(5), await says(6)], ['nothing', 'bytes:ping']);
    });
  },
);

/** Rules that a connection is known by before it says anything, and whether those of the client at 10.9.0.9 match. */
const ofConnections: readonly (readonly [unknown, boolean])[] = [
  [source({ principals: ['cluster.local/ns/default/sa/client'] }), true],
  [source({ principals: ['*/sa/client'] }), true],
  [source({ principals: ['cluster.local/*'] }), true],
  [source({ principals: ['*'] }), true],
  [source({ principals: ['cluster.local/ns/default/sa/other'] }), false],
  [source({ notPrincipals: ['cluster.local/ns/default/sa/client'] }), false],
  [source({ notPrincipals: ['*/sa/other'] }), true],
  [source({ namespaces: ['def*'] }), true],
  [source({ notNamespaces: ['default'] }), false],
  [source({ serviceAccounts: ['default/client'] }), true],
  [source({ notServiceAccounts: ['client'] }), false],
  [source({ ipBlocks: ['10.9.0.0/24', 'fd00::/64'] }), true],
  [source({ ipBlocks: ['10.9.1.0/24'] }), false],
  [source({ notIpBlocks: ['10.9.0.9'] }), false],
  [source({ remoteIpBlocks: ['10.9.0.9'] }), true],
  [operation({ ports: ['25'] }), true],
  [operation({ ports: ['80', '443'] }), false],
  [operation({ notPorts: ['25'] }), false],
  [when('source.ip', '10.9.0.9'), true],
  [when('source.principal', 'cluster.local/ns/default/sa/client'), true],
  [when('destination.ip', '10.96.0.0/16'), true],
  [when('destination.ip', '10.97.0.0/16'), false],
  [when('destination.port', '25'), true],
  [[{ from: [{ source: { namespaces: ['default'] } }], to: [{ operation: { ports: ['26'] } }] }], false],
  [[{}], true],
  [[], false],
];

const decided = ofConnections.flatMap(([rules, matches], index) =>
  (['ALLOW', 'DENY'] as const).map((action, side) => {
    const [address, hostname] = [`10.96.${3 + side}.${index + 1}`, `d${index}-${side}.example`];
    return { address, hostname, heard: matches === (action === 'ALLOW'), parts: [policy({ action, rules })] };
  }),
);

envoySuite(
  'a waypoint before a server that speaks first',
  async () => ({ greeter: await greeter('220 hello\r\n') }),
  ({ greeter: { port: to } }) =>
    input({
      services: decided.map(({ address, hostname, parts }) => ({
        ...service('web', address, port(25, 'tcp')),
        hostname,
        security: securityOfWeb(parts),
      })),
      destinations: decided.map(({ hostname }) => ({
        ...destination('web', 25, 'tcp', [endpoint('10.0.0.1', to)]),
        hostname,
      })),
    }),
  (waypoint) => {
    test('lets those hear it whom every rule about connections lets in, and nobody else', async () => {
      const heard = await Promise.all(
        decided.map(async ({ address }) => {
          const socket = await waypoint().envoy.connect(address, 25);
          const first = await readFirst(socket, 3_000).catch(() => '');
          socket.destroy();
          return first !== '';
        }),
      );
      assert.deepEqual(
        heard,
        decided.map((each) => each.heard),
      );
    });
  },
);
