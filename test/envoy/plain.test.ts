import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';

import { defaultHttpSettings } from '../../src/envoy/model.ts';
import { destination, endpoint, input, port, service } from '../support/envoy/inputs.ts';
import { ask, askHttp2, readAll, readFirst } from '../support/envoy/requests.ts';
import { echoServer, greeter, http2Server, httpServer } from '../support/envoy/servers.ts';
import { envoySuite } from '../support/envoy/suite.ts';
import { waitFor } from '../support/wait.ts';

const vip = '10.96.0.1';
const vip6 = 'fd00:96::1';

const serve = async () => ({
  web: await httpServer('web'),
  rpc: await http2Server('rpc'),
  greeter: await greeter('220 hello\r\n'),
  bytes: await echoServer('bytes'),
});

envoySuite(
  'a waypoint without rules',
  serve,
  (servers) =>
    input({
      services: [
        {
          ...service(
            'web',
            vip,
            port(80, 'http1'),
            port(81, 'grpc'),
            port(25, 'tcp'),
            port(7000, null),
            port(7001, null),
            port(82, 'http1'),
          ),
          addresses: [vip, vip6],
        },
      ],
      destinations: [
        destination('web', 80, 'http1', [endpoint('10.0.0.1', servers.web.port)]),
        destination('web', 81, 'grpc', [endpoint('10.0.0.1', servers.rpc.port)]),
        destination('web', 25, 'tcp', [endpoint('10.0.0.1', servers.greeter.port)]),
        destination('web', 7000, null, [endpoint('10.0.0.1', servers.web.port)]),
        destination('web', 7001, null, [endpoint('10.0.0.1', servers.bytes.port)]),
        destination('web', 82, 'http1', [endpoint('10.0.0.1', 9, { healthy: false })]),
      ],
      http: { ...defaultHttpSettings, accessLog: { format: { kind: 'json', fields: null }, sampling: 100 } },
    }),
  (waypoint) => {
    test('answers HTTP/1.1', async () => {
      const { envoy } = waypoint();
      const answer = await ask(await envoy.connect(vip, 80), { path: '/a' });
      assert.deepEqual([answer.status, answer.headers['x-server']], [200, 'web']);
    });

    test('answers the same service on its other family', async () => {
      const { envoy } = waypoint();
      assert.equal((await ask(await envoy.connect(vip6, 80))).status, 200);
    });

    test('answers HTTP/2 from a server that speaks nothing else', async () => {
      const { envoy, servers } = waypoint();
      const answer = await askHttp2(await envoy.connect(vip, 81));
      assert.deepEqual([answer.status, answer.headers['x-server']], [200, 'rpc']);
      assert.equal(servers.rpc.seen.at(-1)?.version, '2.0');
    });

    test('upgrades to WebSocket', async () => {
      const { envoy } = waypoint();
      const socket = await envoy.connect(vip, 80);
      socket.write('GET /ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
      assert.match(await readFirst(socket), /^HTTP\/1\.1 101 /);
      socket.write('ping');
      assert.equal(await readFirst(socket), 'web ping');
    });

    test('lets a server of bytes speak first', async () => {
      const { envoy } = waypoint();
      const socket = await envoy.connect(vip, 25);
      assert.equal(await readFirst(socket, 2_000), '220 hello\r\n');
    });

    test('sees HTTP where nobody says what is spoken', async () => {
      const { envoy } = waypoint();
      const answer = await ask(await envoy.connect(vip, 7000), { path: '//a/./b' });
      assert.equal(answer.headers['x-server'], 'web');
      assert.equal(waypoint().servers.web.seen.at(-1)?.path, '/a/b');
    });

    test('carries bytes where nobody says what is spoken', async () => {
      const { envoy } = waypoint();
      const socket = await envoy.connect(vip, 7001);
      socket.write('\u0001\u0002binary');
      assert.equal(await readFirst(socket), 'bytes:\u0001\u0002binary');
    });

    test('closes a connection without the header', async () => {
      const { envoy } = waypoint();
      const socket = await envoy.connectPlain();
      socket.write('GET / HTTP/1.1\r\nhost: web\r\n\r\n');
      assert.equal(await readAll(socket), '');
    });

    test('closes a connection that says nothing at all, after a while', async () => {
      const { envoy } = waypoint();
      const socket = await envoy.connectPlain();
      assert.equal(await readAll(socket), '');
    });

    test('closes a connection to an address and to a port that are nobody’s', async () => {
      const { envoy } = waypoint();
      for (const [address, at] of [
        ['10.96.0.99', 80],
        [vip, 99],
      ] as const) {
        const socket = await envoy.connect(address, at);
        socket.write('GET / HTTP/1.1\r\nhost: web\r\n\r\n');
        assert.equal(await readAll(socket), '');
      }
    });

    test('answers 503 where no endpoint is healthy', async () => {
      const { envoy } = waypoint();
      assert.equal((await ask(await envoy.connect(vip, 82))).status, 503);
    });

    test('lets no client command Envoy or name another client', async () => {
      const { envoy, servers } = waypoint();
      const headers = { 'x-envoy-max-retries': '9', 'x-forwarded-for': '1.2.3.4', 'x-forwarded-client-cert': 'URI=x' };
      await ask(await envoy.connect(vip, 80), { headers });
      const seen = servers.web.seen.at(-1)?.headers ?? {};
      assert.equal(seen['x-envoy-max-retries'], undefined);
      assert.equal(seen['x-forwarded-client-cert'], undefined);
      assert.equal(seen['x-forwarded-for'], '1.2.3.4,10.9.0.9');
    });

    test('takes no client for a part of itself, whatever its address', async () => {
      const { envoy, servers } = waypoint();
      await ask(await envoy.connect(vip, 80), { headers: { 'x-envoy-upstream-rq-timeout-ms': '1' } });
      assert.equal(servers.web.seen.at(-1)?.headers['x-envoy-internal'], undefined);
    });

    test('refuses more headers than it has room for', async () => {
      const { envoy } = waypoint();
      const many = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`x-${index}`, 'y']));
      assert.equal((await ask(await envoy.connect(vip, 80), { headers: many })).status, 431);
    });

    test('tells in its log who asked', async () => {
      const { envoy } = waypoint();
      const facts = new Map([
        [0xd0, 'spiffe://cluster.local/ns/shop/sa/cart'],
        [0xe4, 'cart'],
      ]);
      await ask(await envoy.connect(vip, 80, { facts }), { path: '/who' });
      const line = await waitFor(() => envoy.output.find((text) => text.includes('"/who"')));
      const entry = JSON.parse(line) as Record<string, unknown>;
      assert.equal(entry['source_principal'], 'spiffe://cluster.local/ns/shop/sa/cart');
      assert.equal(entry['source_workload'], 'cart');
      assert.equal(entry['downstream_remote_address'], '10.9.0.9:40000');
      assert.equal(entry['downstream_local_address'], '10.96.0.1:80');
    });

    test('tells no identity of a client that has none', async () => {
      const { envoy } = waypoint();
      await ask(await envoy.connect(vip, 80, { facts: new Map() }), { path: '/nobody' });
      const line = await waitFor(() => envoy.output.find((text) => text.includes('"/nobody"')));
      assert.equal((JSON.parse(line) as Record<string, unknown>)['source_principal'], null);
    });

    test('ends a connection of bytes when its client does', async () => {
      const { envoy } = waypoint();
      const socket = await envoy.connect(vip, 25);
      await readFirst(socket, 2_000);
      socket.end();
      await once(socket, 'close');
    });
  },
);
