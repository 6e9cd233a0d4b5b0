import assert from 'node:assert/strict';
import { test } from 'node:test';

import { defaultHttpSettings } from '../../../src/envoy/model.ts';
import { gateway, gatewayPort, hostTo, httpSite } from '../../support/envoy/gateway-inputs.ts';
import { gatewaySuite } from '../../support/envoy/gateway-suite.ts';
import { destination, endpoint, labels } from '../../support/envoy/inputs.ts';
import { ask, askHttp2, readFirst } from '../../support/envoy/requests.ts';
import type { Answer, Asked } from '../../support/envoy/requests.ts';
import { policy, rateLimits, securityOfWeb } from '../../support/envoy/security.ts';
import { grpcEcho, httpServer } from '../../support/envoy/servers.ts';
import { waitFor } from '../../support/wait.ts';

const denied = (source: unknown) => securityOfWeb([policy({ action: 'DENY', rules: [{ from: [{ source }] }] })]);

const oneSite = (name: string, security: ReturnType<typeof denied>) =>
  ({ kind: 'http', site: httpSite(name, [hostTo('web', ['a.example.com'])], { security }) }) as const;

const ports = {
  hosts: gatewayPort(8080, {
    kind: 'http',
    site: httpSite('http.8080', [
      hostTo('web', ['a.example.com', '*.wild.example.com']),
      hostTo('other', ['b.example.com', 'x.wild.example.com']),
      hostTo('rpc', ['rpc.example.com']),
      hostTo('web', ['secure.example.com'], { redirectToHttps: true }),
      hostTo('gone', ['gone.example.com']),
    ]),
  }),
  other: gatewayPort(8081, { kind: 'http', site: httpSite('http.8081', [hostTo('other', ['*'])]) }),
  near: gatewayPort(8082, oneSite('http.8082', denied({ ipBlocks: ['127.0.0.0/8'] }))),
  far: gatewayPort(8083, oneSite('http.8083', denied({ remoteIpBlocks: ['198.51.100.0/24'] }))),
  known: gatewayPort(8084, oneSite('http.8084', denied({ principals: ['*'] }))),
  unknown: gatewayPort(8085, oneSite('http.8085', denied({ notPrincipals: ['cluster.local/ns/shop/sa/a'] }))),
  limited: gatewayPort(
    8086,
    oneSite('http.8086', securityOfWeb([rateLimits([{ requests: 1, interval: '1h', per: 'Client' }])])),
  ),
};

const serve = async () => ({ web: await httpServer('web'), other: await httpServer('other'), rpc: await grpcEcho() });

gatewaySuite(
  'a gateway in clear text',
  serve,
  ({ web, other, rpc }) => ({
    secrets: [],
    input: gateway(Object.values(ports), {
      destinations: [
        destination('web', 80, 'http1', [endpoint('10.0.0.1', web.port, { labels: labels('web') })]),
        destination('other', 80, 'http1', [endpoint('10.0.0.1', other.port)]),
        destination('rpc', 80, 'grpc', [endpoint('10.0.0.1', rpc.port)]),
      ],
      http: {
        ...defaultHttpSettings,
        trustedProxies: 1,
        accessLog: { format: { kind: 'json', fields: null }, sampling: 100 },
      },
    }),
  }),
  (suite) => {
    const send = async (host: string, asked: Asked = {}, { number } = ports.hosts): Promise<Answer> =>
      ask(await suite().envoy.connect(number), { ...asked, headers: { host, ...asked.headers } });
    const status = async (host: string, asked?: Asked, port?: typeof ports.hosts): Promise<number> =>
      (await send(host, asked, port)).status;
    const serverOf = async (host: string, port?: typeof ports.hosts): Promise<unknown> =>
      (await send(host, {}, port)).headers['x-server'];

    test('is taken by Envoy as it is', () => {
      assert.deepEqual(suite().envoy.refusals, []);
    });

    test('sends requests where their host says, whatever its case and port', async () => {
      const hosts = [
        'a.example.com',
        'A.Example.COM:1234',
        'b.example.com',
        'x.wild.example.com',
        'y.z.wild.example.com',
      ];
      const servers = [];
      for (const host of hosts) servers.push(await serverOf(host));
      assert.deepEqual(servers, ['web', 'web', 'other', 'other', 'web']);
    });

    test('sends requests where their port says', async () => {
      assert.deepEqual(
        [await serverOf('a.example.com'), await serverOf('a.example.com', ports.other)],
        ['web', 'other'],
      );
    });

    test('answers 404 for hosts that nobody has', async () => {
      for (const host of ['c.example.com', 'wild.example.com', 'a.example.com.evil.example', '127.0.0.1'])
        assert.equal(await status(host), 404, host);
    });

    test('answers 500 where a destination does not exist', async () => {
      assert.equal(await status('gone.example.com'), 500);
    });

    test('sends requests to https by 301, with host, path and query', async () => {
      const { status: code, headers } = await send('secure.example.com', { path: '/a/b?c=d' });
      assert.deepEqual([code, headers.location], [301, 'https://secure.example.com/a/b?c=d']);
    });

    test('leaves out the port of clear text where it sends to https', async () => {
      const { headers } = await send('secure.example.com:80');
      assert.equal(headers.location, 'https://secure.example.com/');
    });

    test('believes a trusted proxy that a request has come by https', async () => {
      assert.equal(await status('secure.example.com', { headers: { 'x-forwarded-proto': 'https' } }), 200);
    });

    test('answers HTTP/2 without TLS', async () => {
      const socket = await suite().envoy.connect(8080);
      const answer = await askHttp2(socket, { headers: { ':authority': 'b.example.com' } });
      assert.deepEqual([answer.status, answer.headers['x-server']], [200, 'other']);
    });

    test('carries gRPC with its trailers', async () => {
      const headers = { ':authority': 'rpc.example.com', 'content-type': 'application/grpc', te: 'trailers' };
      const answer = await askHttp2(await suite().envoy.connect(8080), { method: 'POST', headers, body: 'abc' });
      assert.deepEqual([answer.status, answer.body, answer.trailers['grpc-status']], [200, 'abc', '0']);
    });

    test('tells a client of gRPC in its own words that nobody has the host', async () => {
      const headers = { ':authority': 'c.example.com', 'content-type': 'application/grpc', te: 'trailers' };
      const answer = await askHttp2(await suite().envoy.connect(8080), { method: 'POST', headers, body: 'abc' });
      assert.deepEqual([answer.status, answer.headers['grpc-status']], [200, '12']);
    });

    test('upgrades to WebSocket', async () => {
      const socket = await suite().envoy.connect(8080);
      socket.write('GET /ws HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
      assert.match(await readFirst(socket), /^HTTP\/1\.1 101 /);
      socket.write('ping');
      assert.equal(await readFirst(socket), 'web ping');
    });

    test('normalises paths before anybody looks at them', async () => {
      await send('a.example.com', { path: '//a/../b//c' });
      assert.equal(suite().servers.web.seen.at(-1)?.path, '/b/c');
    });

    test('answers 431 to more headers than it has room for', async () => {
      const many = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`x-${index}`, 'y']));
      assert.equal(await status('a.example.com', { headers: many }), 431);
    });

    test('drops headers that an application could take for others', async () => {
      await send('a.example.com', { headers: { x_forwarded_for: '1.2.3.4', 'x-kept': 'yes' } });
      const headers = suite().servers.web.seen.at(-1)?.headers ?? {};
      assert.deepEqual([headers['x_forwarded_for'], headers['x-kept']], [undefined, 'yes']);
    });

    test('lets no client command Envoy, name its certificate or choose the request’s id', async () => {
      const id = '00000000-0000-4000-8000-000000000000';
      const forged = { 'x-envoy-max-retries': '9', 'x-forwarded-client-cert': 'URI=x', 'x-request-id': id };
      await send('a.example.com', { headers: forged });
      const headers = suite().servers.web.seen.at(-1)?.headers ?? {};
      assert.equal(headers['x-envoy-max-retries'], undefined);
      assert.equal(headers['x-forwarded-client-cert'], undefined);
      assert.notEqual(headers['x-request-id'] ?? id, id);
    });

    test('knows the address of the connection, of either family', async () => {
      assert.equal(await status('a.example.com', {}, ports.near), 403);
      const socket = await suite().envoy.connect(ports.near.number, '::1');
      assert.equal((await ask(socket, { headers: { host: 'a.example.com' } })).status, 200);
    });

    test('holds policies also for hosts that nobody has', async () => {
      assert.equal(await status('c.example.com', {}, ports.near), 403);
    });

    test('believes of x-forwarded-for what a trusted proxy has written, and no more', async () => {
      const through = (said: string) => status('a.example.com', { headers: { 'x-forwarded-for': said } }, ports.far);
      assert.deepEqual(
        [await through('198.51.100.7'), await through('192.0.2.1'), await through('198.51.100.7, 192.0.2.1')],
        [403, 200, 200],
      );
    });

    test('has nobody for a workload of the mesh', async () => {
      assert.equal(await status('a.example.com', {}, ports.known), 200);
      assert.equal(await status('a.example.com', {}, ports.unknown), 403);
    });

    test('limits each client by its address, those of one network of IPv6 together', async () => {
      const limited = (said: string) =>
        status('a.example.com', { headers: { 'x-forwarded-for': said } }, ports.limited);
      assert.deepEqual(
        [await limited('192.0.2.1'), await limited('192.0.2.1'), await limited('192.0.2.2')],
        [200, 429, 200],
      );
      assert.deepEqual(
        [await limited('2001:db8:1:2::1'), await limited('2001:db8:1:2::99'), await limited('2001:db8:1:3::1')],
        [200, 429, 200],
      );
    });

    test('tells in its log who asked and where it was sent', async () => {
      await send('a.example.com', { path: '/logged' });
      const line = await waitFor(() => suite().envoy.output.find((text) => text.includes('"/logged"')));
      const entry = JSON.parse(line) as Record<string, unknown>;
      assert.match(String(entry['downstream_remote_address']), /^127\.0\.0\.1:/);
      assert.deepEqual(
        [
          entry['source_workload'],
          entry['destination_workload'],
          entry['destination_service_name'],
          entry['authority'],
        ],
        ['gateway', 'web', 'web', 'a.example.com'],
      );
    });

    test('counts requests as of its own', async () => {
      await send('a.example.com');
      await send('c.example.com');
      const counted = async (...labelsOf: readonly string[]) => {
        const lines = (await suite().envoy.page('/stats/prometheus')).split('\n');
        return lines.find(
          (line) => line.includes('istio_requests_total{') && labelsOf.every((each) => line.includes(each)),
        );
      };
      const own = ['reporter="source"', 'source_workload="gateway"', 'connection_security_policy="unknown"'];
      await waitFor(() => counted(...own, 'destination_workload="web"', 'destination_service_name="web"', '"200"'));
      await waitFor(() => counted(...own, 'destination_service_name="unknown"', 'response_code="404"'));
    });
  },
);
