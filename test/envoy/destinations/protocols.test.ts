import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';

import { manifestSuite } from '../../support/envoy/manifest-suite.ts';
import { askHttp2, readAll, readFirst } from '../../support/envoy/requests.ts';
import { echoServer, greeter, grpcEcho, http2Server, httpServer } from '../../support/envoy/servers.ts';
import { waitFor } from '../../support/wait.ts';
import { app, route, shopNamespace, vipOf, virtualService } from './mesh.ts';

const serve = async () => ({
  web: await httpServer('web'),
  clear: await http2Server('clear'),
  calls: await grpcEcho(),
  hello: await greeter('hello from v1\r\n'),
  hi: await greeter('hi from v2\r\n'),
  bytes: await echoServer('bytes'),
  more: await echoServer('more'),
});

/** Of the clients whose connections go elsewhere. */
const matches = [
  { sourceNamespace: 'other' },
  { sourceLabels: { app: 'cart', version: 'v1.2' } },
  { sourceSubnet: '10.8.0.0/16', destinationSubnets: ['192.0.2.0/24', vipOf(10)] },
  { sourceSubnet: '10.7.0.0/16', destinationSubnets: ['192.0.2.0/24'] },
  { sourceSubnet: '10.6.0.0/16', port: 26 },
];

const backend = (name: string, port: number, weight = 1) => ({ name, port, weight });

manifestSuite(
  'protocols through routes',
  serve,
  ({ web, clear, calls, hello, hi, bytes, more }) => [
    ...shopNamespace(),
    ...app({ name: 'web', last: 1, members: [{ server: web }] }),
    route('HTTPRoute', 'v1', 'web', 80, {
      rules: [
        { matches: [{ path: { value: '/ws' } }], timeouts: { request: '10s' }, backendRefs: [backend('web', 80)] },
      ],
    }),
    ...app({ name: 'socket', last: 2, members: [{ server: web }] }),
    virtualService('socket', { http: [{ rewrite: { uri: '/new' }, route: [{ destination: { host: 'socket' } }] }] }),
    ...app({ name: 'clear', last: 3, members: [{ server: clear }] }),
    ...app({ name: 'calls', last: 4, members: [{ server: calls }], ports: { 81: 'grpc' } }),
    route('GRPCRoute', 'v1', 'calls', 81, {
      rules: [{ matches: [{ method: { service: 'shop.Echo' } }], backendRefs: [backend('calls', 81)] }],
    }),
    ...app({ name: 'mail', last: 5, members: [{ server: hello }], ports: { 25: 'tcp' } }),
    ...app({ name: 'mail-next', last: 6, members: [{ server: hi }], ports: { 25: 'tcp' } }),
    route('TCPRoute', 'v1alpha2', 'mail', 25, {
      rules: [{ backendRefs: [backend('mail', 25, 3), backend('mail-next', 25), backend('nobody', 25, 0)] }],
    }),
    ...app({ name: 'names', last: 7, members: [{ server: more }], ports: { 443: 'tls' } }),
    ...app({ name: 'named', last: 8, members: [{ server: bytes }], ports: { 443: 'tls' } }),
    ...app({ name: 'any', last: 9, members: [{ server: more }], ports: { 443: 'tls' } }),
    route('TLSRoute', 'v1', 'names', 443, {
      hostnames: ['a.example.com'],
      rules: [{ backendRefs: [backend('named', 443)] }],
    }),
    ...app({ name: 'asked', last: 10, members: [{ server: hello }], ports: { 25: 'tcp' } }),
    virtualService('asked', {
      tcp: [
        { match: matches, route: [{ destination: { host: 'mail-next' } }] },
        { route: [{ destination: { host: 'asked' } }] },
      ],
    }),
    virtualService('any', {
      tls: [{ match: [{ sniHosts: ['*'], port: 443 }], route: [{ destination: { host: 'named' } }] }],
      tcp: [
        {
          route: [
            { destination: { host: 'mail' }, weight: 1 },
            { destination: { host: 'any' }, weight: 0 },
          ],
        },
      ],
    }),
  ],
  (waypoint) => {
    for (const [last, kind, path] of [
      [1, 'an HTTPRoute', '/ws'],
      [2, 'a VirtualService', '/any'],
    ] as const) {
      test(`WebSockets pass ${kind}`, async () => {
        const socket = await waypoint().envoy.connect(vipOf(last), 80);
        socket.write(`GET ${path} HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`);
        assert.match(await readFirst(socket), /^HTTP\/1\.1 101 /);
        for (const word of ['one', 'two']) {
          socket.write(word);
          assert.equal(await readFirst(socket), `web ${word}`);
        }
      });
    }

    test('HTTP/2 by prior knowledge passes a port that only says HTTP', async () => {
      const { envoy, servers } = waypoint();
      assert.equal((await askHttp2(await envoy.connect(vipOf(3), 80))).headers['x-server'], 'clear');
      assert.equal(servers.clear.seen.at(-1)?.version, '2.0');
    });

    test('streams of gRPC pass message by message, with their status at the end', async () => {
      const socket = await waypoint().envoy.connect(vipOf(4), 81);
      const session = connectHttp2('http://calls', { createConnection: () => socket });
      const headers = {
        ':method': 'POST',
        ':path': '/shop.Echo/Chat',
        'content-type': 'application/grpc',
        te: 'trailers',
      };
      const stream = session.request(headers, { endStream: false });
      stream.setEncoding('utf8');
      for (const word of ['one', 'two']) {
        stream.write(word);
        assert.deepEqual(await once(stream, 'data', { signal: AbortSignal.timeout(5_000) }), [word]);
      }
      stream.end();
      const [trailers] = (await once(stream, 'trailers')) as [Readonly<Record<string, string>>];
      assert.equal(trailers['grpc-status'], '0');
      session.destroy();
    });

    test('bytes are shared by weight, and their servers speak first', async () => {
      const counts: Record<string, number> = {};
      for (let index = 0; index < 100; index++) {
        const line = await readFirst(await waypoint().envoy.connect(vipOf(5), 25));
        counts[line.trim()] = (counts[line.trim()] ?? 0) + 1;
      }
      const { 'hello from v1': first = 0, 'hi from v2': second = 0 } = counts;
      // Six standard deviations of 100 throws at a quarter: 26.
      assert.ok(first + second === 100 && second > 0 && second < 51, JSON.stringify(counts));
    });

    for (const [what, namespace, labels, source, expected] of [
      ['anybody', 'shop', 'app=web', '10.9.0.9', 'hello from v1'],
      ['clients of a namespace', 'other', '', '10.9.0.9', 'hi from v2'],
      ['clients with labels', 'shop', 'app=cart,tier=a,version=v1.2', '10.9.0.9', 'hi from v2'],
      ['clients with some of the labels', 'shop', 'app=cart', '10.9.0.9', 'hello from v1'],
      ['clients from a subnet, for the address', 'shop', '', '10.8.1.1', 'hi from v2'],
      ['clients from a subnet, for another address', 'shop', '', '10.7.1.1', 'hello from v1'],
      ['clients from a subnet, for another port', 'shop', '', '10.6.1.1', 'hello from v1'],
    ] as const) {
      test(`bytes of ${what} are answered ${expected}`, async () => {
        const facts = new Map([[0xd0, `spiffe://cluster.local/ns/${namespace}/sa/client`]]);
        if (labels !== '') facts.set(0xe7, labels);
        const socket = await waypoint().envoy.connect(vipOf(10), 25, { source, facts });
        assert.equal((await readFirst(socket, 2_000)).trim(), expected);
      });
    }

    test('TLS of no name that a route has is closed', async () => {
      const { envoy, servers } = waypoint();
      await clientHello(await envoy.connect(vipOf(7), 443), 'a.example.com');
      await waitFor(() => servers.bytes.connections === 1);
      const refused = await envoy.connect(vipOf(7), 443);
      await clientHello(refused, 'b.example.com');
      assert.equal(await readAll(refused), '');
    });

    test('TLS of any name goes where `*` says, and what is not TLS by the next rule', async () => {
      const { envoy, servers } = waypoint();
      const before = servers.bytes.connections;
      await clientHello(await envoy.connect(vipOf(9), 443), 'any.example.com');
      await waitFor(() => servers.bytes.connections === before + 1);
      const plain = await envoy.connect(vipOf(9), 443);
      plain.write('quit\r\n');
      assert.match(await readFirst(plain), /^hello from v1\r\n/);
    });
  },
);

/** The first words of a client of TLS. */
async function clientHello(socket: Parameters<typeof readAll>[0], servername: string): Promise<void> {
  const client = connectTls({ socket, servername });
  client.on('error', () => undefined);
  await new Promise((resolve) => setImmediate(resolve));
}
