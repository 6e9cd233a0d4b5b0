import assert from 'node:assert/strict';
import { test } from 'node:test';

import { manifestSuite } from '../../support/envoy/manifest-suite.ts';
import { ask, readFirst } from '../../support/envoy/requests.ts';
import type { Asked } from '../../support/envoy/requests.ts';
import { greeter, httpServer } from '../../support/envoy/servers.ts';
import type { TestServer } from '../../support/envoy/servers.ts';
import { waitFor } from '../../support/wait.ts';
import { app, destinationRule, shopNamespace, virtualService, vipOf } from './mesh.ts';

/** Fails where its client wants it to. */
function server(name: string): Promise<TestServer> {
  return httpServer(name, (seen, response) => {
    response.statusCode = seen.headers['x-fail'] === name ? 503 : 200;
    response.end();
  });
}

const serve = async () => ({
  a: await server('a'),
  b: await server('b'),
  c: await server('c'),
  hello: await greeter('hello from a'),
  hi: await greeter('hi from b'),
});

const hashed = (consistentHash: Readonly<Record<string, unknown>>) => ({ loadBalancer: { consistentHash } });
const eject = { consecutive5xxErrors: 2, interval: '0.1s', baseEjectionTime: '60s', maxEjectionPercent: 100 };

/** What a key is, by the name of the service whose endpoints are chosen by it. */
const keys: Readonly<Record<string, (user: number) => Asked>> = {
  header: (user) => ({ headers: { 'x-user': `user-${user}` } }),
  cookie: (user) => ({ headers: { cookie: `session=user-${user}` } }),
  query: (user) => ({ path: `/?user=user-${user}` }),
  maglev: (user) => ({ headers: { 'x-user': `user-${user}` } }),
};
const hashPolicies = {
  header: hashed({ httpHeaderName: 'x-user', ringHash: { minimumRingSize: 2048 } }),
  cookie: hashed({ httpCookie: { name: 'session', ttl: '60s' } }),
  query: hashed({ httpQueryParameterName: 'user' }),
  maglev: hashed({ httpHeaderName: 'x-user', maglev: { tableSize: 5003 } }),
};
const firstHashed = 20;

manifestSuite(
  'endpoints that a DestinationRule chooses',
  serve,
  ({ a, b, c, hello, hi }) => {
    const near = { server: a, node: 'node-1' } as const;
    const far = { server: b, node: 'node-2' } as const;
    const farther = { server: c, node: 'node-3' } as const;
    const all = [{ server: a }, { server: b }, { server: c }];
    return [
      ...shopNamespace(),
      ...app({ name: 'failing', last: 1, members: [near, far] }),
      destinationRule('failing', { outlierDetection: eject, loadBalancer: { localityLbSetting: { enabled: true } } }),
      ...app({ name: 'retried', last: 7, members: [near, far] }),
      destinationRule('retried', {
        outlierDetection: { ...eject, consecutive5xxErrors: 1000 },
        loadBalancer: { localityLbSetting: { enabled: true } },
      }),
      virtualService('retried', {
        http: [
          {
            retries: { attempts: 2, retryOn: '5xx', retryRemoteLocalities: true },
            route: [{ destination: { host: 'retried' } }],
          },
        ],
      }),
      ...app({ name: 'ordered', last: 2, members: [{ ...near, ready: false }, far, farther] }),
      destinationRule('ordered', {
        loadBalancer: { localityLbSetting: { failover: [{ from: 'eu', to: 'asia' }] } },
      }),
      ...app({ name: 'shared', last: 3, members: [near, far, farther] }),
      destinationRule('shared', {
        loadBalancer: { localityLbSetting: { distribute: [{ from: 'eu/a/*', to: { 'eu/*': 80, 'us/b/*': 20 } }] } },
      }),
      ...app({ name: 'ports', last: 4, members: all, ports: { 80: 'http', 81: 'http-hashed' } }),
      destinationRule('ports', {
        loadBalancer: { simple: 'ROUND_ROBIN' },
        portLevelSettings: [{ port: { number: 81 }, ...hashed({ httpHeaderName: 'x-user' }) }],
      }),
      ...app({ name: 'source', last: 5, members: all }),
      destinationRule('source', hashed({ useSourceIp: true })),
      ...app({ name: 'bytes', last: 6, members: [{ server: hello }, { server: hi }], ports: { 82: 'tcp' } }),
      destinationRule('bytes', hashed({ useSourceIp: true, maglev: {} })),
      ...Object.entries(hashPolicies).flatMap(([name, policy], index) => [
        ...app({ name, last: firstHashed + index, members: all }),
        destinationRule(name, policy),
      ]),
    ];
  },
  (waypoint) => {
    const serverOf = async (last: number, asked: Asked = {}, source = '10.9.0.9', port = 80): Promise<string> => {
      const answer = await ask(await waypoint().envoy.connect(vipOf(last), port, { source }), asked);
      return String(answer.headers['x-server']);
    };
    const serversOf = async (times: number, one: (index: number) => Promise<string>): Promise<readonly string[]> => {
      const seen: string[] = [];
      for (let index = 0; index < times; index++) seen.push(await one(index));
      return seen;
    };
    /** Each user has one server, and there is more than one of these. */
    const assertSticky = async (one: (user: number) => Promise<string>): Promise<void> => {
      const users = await serversOf(12, one);
      assert.ok(new Set(users).size > 1, `all users had ${users[0] ?? ''}`);
      assert.deepEqual(await serversOf(12, one), users);
    };

    test('are those near by, until they fail, and then those of the next locality', async () => {
      assert.deepEqual(new Set(await serversOf(10, () => serverOf(1))), new Set(['a']));
      await serversOf(2, () => serverOf(1, { headers: { 'x-fail': 'a' } }));
      // The worker that saw them tells the others, which takes a moment.
      await waitFor(async () => (await serversOf(10, () => serverOf(1))).every((name) => name === 'b'), {
        what: 'requests to go to b alone',
      });
    });

    test('are those of the next locality for a retry that may go there', async () => {
      assert.equal(await serverOf(7), 'a');
      assert.equal(await serverOf(7, { headers: { 'x-fail': 'a' } }), 'b');
    });

    test('are, where none near by is ready, those of the region that is named for it', async () => {
      assert.deepEqual(new Set(await serversOf(10, () => serverOf(2))), new Set(['c']));
    });

    test('are shared by locality', async () => {
      const seen = await serversOf(150, () => serverOf(3));
      const count = (name: string) => seen.filter((one) => one === name).length;
      // Six standard deviations of 150 throws at a fifth: 29.
      assert.ok(count('b') > 0 && count('b') < 60 && count('c') === 0, `b had ${count('b')}, c ${count('c')} of 150`);
    });

    for (const [index, [name, keyOf]] of Object.entries(keys).entries()) {
      test(`are the same for the same ${name}`, () =>
        assertSticky((user) => serverOf(firstHashed + index, keyOf(user))));
    }

    test('are remembered by a cookie of the waypoint’s own', async () => {
      const { envoy } = waypoint();
      const { headers } = await ask(await envoy.connect(vipOf(firstHashed + 1), 80));
      const cookie = headers['set-cookie']?.[0] ?? '';
      assert.match(cookie, /^session="[0-9a-f]+"; Max-Age=60/);
      const again = () => serverOf(firstHashed + 1, { headers: { cookie: cookie.split(';')[0] ?? '' } });
      assert.deepEqual(new Set(await serversOf(5, again)), new Set([headers['x-server']]));
    });

    test('are the same for the same address of a client', () =>
      assertSticky((user) => serverOf(5, {}, `10.9.0.${user + 1}`)));

    test('are the same for the same address of a client whose connection carries bytes', () =>
      assertSticky(async (user) => {
        const socket = await waypoint().envoy.connect(vipOf(6), 82, { source: `10.9.0.${user + 1}` });
        return readFirst(socket);
      }));

    test('are chosen by the settings of the port where it has any', async () => {
      const user = { headers: { 'x-user': 'one' } };
      assert.equal(new Set(await serversOf(9, () => serverOf(4, user))).size, 3);
      assert.equal(new Set(await serversOf(9, () => serverOf(4, user, '10.9.0.9', 81))).size, 1);
    });
  },
);
