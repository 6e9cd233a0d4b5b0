import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';

import { tcpRouteSchema, tlsRouteSchema } from '../../src/config/manifests/schemas/connection-routes.ts';
import { grpcRouteSchema } from '../../src/config/manifests/schemas/grpc-route.ts';
import { httpRouteSchema } from '../../src/config/manifests/schemas/http-route.ts';
import { convertGrpcRoute } from '../../src/envoy/routes/grpc-route.ts';
import { convertHttpRoute } from '../../src/envoy/routes/http-route.ts';
import { mergeConnectionRoutes, mergeRoutes } from '../../src/envoy/routes/precedence.ts';
import { convertTcpRoute } from '../../src/envoy/routes/tcp-route.ts';
import { convertTlsRoute } from '../../src/envoy/routes/tls-route.ts';
import { lookups, read } from '../support/envoy/documents.ts';
import { destination, endpoint, input, port, rule, service } from '../support/envoy/inputs.ts';
import { ask, askHttp2 } from '../support/envoy/requests.ts';
import { echoServer, http2Server, httpServer } from '../support/envoy/servers.ts';
import { envoySuite } from '../support/envoy/suite.ts';
import { waitFor } from '../support/wait.ts';

const vip = '10.96.0.1';
const mesh = lookups({ web: [80], other: [80], flaky: [80], slow: [80], rpc: [81], bytes: [443], more: [443] });

const to = (name: string, at = 80) => ({ name, port: at });
const web = [to('web')];
const prefix = (value: string) => [{ path: { value } }];
const rewritten = (value: string) => [
  { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: value } } },
];
const redirected = (requestRedirect: unknown) => [{ type: 'RequestRedirect', requestRedirect }];

const rules = [
  { matches: prefix('/a/b'), backendRefs: [to('other')] },
  { matches: [{ path: { type: 'Exact', value: '/a/exact' } }], backendRefs: [to('other')] },
  { matches: [{ path: { type: 'RegularExpression', value: '/r[0-9]+' } }], backendRefs: [to('other')] },
  { matches: [{ path: { value: '/h' }, headers: [{ name: 'X-Kind', value: 'a' }] }], backendRefs: [to('other')] },
  { matches: [{ path: { value: '/q' }, queryParams: [{ name: 'v', value: '2' }] }], backendRefs: [to('other')] },
  { matches: [{ path: { value: '/m' }, method: 'POST' }], backendRefs: [to('other')] },
  ...['/a', '/h', '/q', '/m'].map((value) => ({ matches: prefix(value), backendRefs: web })),
  { matches: prefix('/cut'), filters: rewritten('/'), backendRefs: web },
  { matches: prefix('/longer'), filters: rewritten('/new/'), backendRefs: web },
  {
    matches: prefix('/full'),
    filters: [
      {
        type: 'URLRewrite',
        urlRewrite: { hostname: 'new.example.com', path: { type: 'ReplaceFullPath', replaceFullPath: '/one' } },
      },
    ],
    backendRefs: web,
  },
  { matches: prefix('/https'), filters: redirected({ scheme: 'https', statusCode: 301 }) },
  { matches: prefix('/host'), filters: redirected({ hostname: 'new.example.com', port: 8080 }) },
  {
    matches: prefix('/path'),
    filters: redirected({ path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/to' }, statusCode: 308 }),
  },
  {
    matches: prefix('/headers'),
    filters: [
      {
        type: 'RequestHeaderModifier',
        requestHeaderModifier: {
          set: [{ name: 'x-set', value: '100%' }],
          add: [{ name: 'x-add', value: 'new' }],
          remove: ['x-gone'],
        },
      },
      { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-answer', value: 'yes' }] } },
    ],
    backendRefs: web,
  },
  {
    matches: prefix('/weights'),
    backendRefs: [
      { ...to('web'), weight: 3 },
      { ...to('other'), weight: 1 },
      { ...to('web', 80), name: 'nobody', weight: 0 },
    ],
  },
  { matches: prefix('/missing'), backendRefs: [to('nobody')] },
  { matches: prefix('/none') },
  { matches: prefix('/flaky'), retry: { attempts: 5, codes: [503] }, backendRefs: [to('flaky')] },
  { matches: prefix('/once'), backendRefs: [to('flaky')] },
  { matches: prefix('/slow'), timeouts: { request: '200ms' }, backendRefs: [to('slow')] },
  {
    matches: prefix('/mirrored'),
    filters: [{ type: 'RequestMirror', requestMirror: { backendRef: to('other') } }],
    backendRefs: web,
  },
  {
    matches: prefix('/cors'),
    filters: [{ type: 'CORS', cors: { allowOrigins: ['https://*.example.com'], allowMethods: ['PUT'], maxAge: 60 } }],
    backendRefs: web,
  },
];

const calls = [
  { matches: [{ method: { service: 'shop.Cart', method: 'Add' } }], backendRefs: [to('rpc', 81)] },
  { matches: [{ method: { service: 'shop.Missing' } }], backendRefs: [to('nobody', 81)] },
];

function httpRules(spec: unknown, metadata = {}) {
  return convertHttpRoute(read(httpRouteSchema, spec, metadata), mesh);
}

const serve = async () => {
  let failures = 0;
  return {
    web: await httpServer('web'),
    other: await httpServer('other'),
    flaky: await httpServer('flaky', (_, response) => {
      response.statusCode = failures++ % 3 === 2 ? 200 : 503;
      response.end();
    }),
    slow: await httpServer('slow', (_, response) => {
      setTimeout(() => response.end(), 2_000).unref();
    }),
    rpc: await http2Server('rpc', (_, response) => {
      response.setHeader('content-type', 'application/grpc');
      response.end();
    }),
    bytes: await echoServer('bytes'),
    more: await echoServer('more'),
  };
};

const granted = { ...mesh, granted: () => true, permitted: () => true };

envoySuite(
  'routes of the Gateway API',
  serve,
  (servers) => {
    const named = (hostname: string, backend: string) =>
      convertTlsRoute(
        read(tlsRouteSchema, { hostnames: [hostname], rules: [{ backendRefs: [to(backend, 443)] }] }),
        mesh,
      );
    const rest = convertTcpRoute(read(tcpRouteSchema, { rules: [{ backendRefs: [to('more', 443)] }] }), mesh);
    const connections = mergeConnectionRoutes([rest, named('*.example.com', 'bytes')], 'default').rules;
    const away = convertHttpRoute(
      read(
        httpRouteSchema,
        { rules: [{ matches: prefix('/away'), backendRefs: [{ ...to('other'), namespace: 'default' }] }] },
        { namespace: 'away' },
      ),
      granted,
    );
    return input({
      services: [
        service(
          'web',
          vip,
          port(80, 'http1', { rules: mergeRoutes([httpRules({ rules }), away], 'default', [rule('web', 80)]).rules }),
          port(81, 'grpc', {
            rules: mergeRoutes([convertGrpcRoute(read(grpcRouteSchema, { rules: calls }), mesh)], 'default', [
              rule('rpc', 81),
            ]).rules,
          }),
          port(443, 'tls', { connections }),
        ),
      ],
      destinations: [
        ...(['web', 'other', 'flaky', 'slow'] as const).map((name) =>
          destination(name, 80, 'http1', [endpoint('10.0.0.1', servers[name].port)]),
        ),
        destination('rpc', 81, 'grpc', [endpoint('10.0.0.1', servers.rpc.port)]),
        destination('bytes', 443, 'tls', [endpoint('10.0.0.1', servers.bytes.port)]),
        destination('more', 443, 'tls', [endpoint('10.0.0.1', servers.more.port)]),
      ],
    });
  },
  (waypoint) => {
    const get = async (path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET') =>
      ask(await waypoint().envoy.connect(vip, 80), { path, headers, method });

    for (const [path, headers, method, server] of [
      ['/a/b', {}, 'GET', 'other'],
      ['/a/b/c?d=e', {}, 'GET', 'other'],
      ['/a/bc', {}, 'GET', 'web'],
      ['/a/exact', {}, 'GET', 'other'],
      ['/a/exact/', {}, 'GET', 'web'],
      ['/r12', {}, 'GET', 'other'],
      ['/h', { 'x-kind': 'a' }, 'GET', 'other'],
      ['/h', { 'x-kind': 'b' }, 'GET', 'web'],
      ['/q?v=2', {}, 'GET', 'other'],
      ['/q?v=3', {}, 'GET', 'web'],
      ['/m', {}, 'POST', 'other'],
      ['/m', {}, 'GET', 'web'],
    ] as const) {
      test(`send ${method} ${path} ${JSON.stringify(headers)} to ${server}`, async () => {
        assert.equal((await get(path, headers, method)).headers['x-server'], server);
      });
    }

    for (const path of ['/', '/ab', '/r1x', '/none']) {
      test(`answer ${path} ${path === '/none' ? '500' : '404'}`, async () => {
        assert.equal((await get(path)).status, path === '/none' ? 500 : 404);
      });
    }

    for (const [path, seen] of [
      ['/cut', '/'],
      ['/cut/', '/'],
      ['/cut/a', '/a'],
      ['/cut/a?b=c', '/a?b=c'],
      ['/longer', '/new'],
      ['/longer/a', '/new/a'],
      ['/full/a?b=c', '/one?b=c'],
    ] as const) {
      test(`rewrite ${path} to ${seen}`, async () => {
        await get(path);
        assert.equal(waypoint().servers.web.seen.at(-1)?.path, seen);
      });
    }

    test('rewrite the host', async () => {
      await get('/full');
      assert.equal(waypoint().servers.web.seen.at(-1)?.headers.host, 'new.example.com');
    });

    for (const [path, status, location] of [
      ['/https/a', 301, 'https://web/https/a'],
      ['/host/a', 302, 'http://new.example.com:8080/host/a'],
      ['/path/a', 308, 'http://web/to/a'],
    ] as const) {
      test(`redirect ${path} to ${location}`, async () => {
        const answer = await get(path);
        assert.deepEqual([answer.status, answer.headers.location], [status, location]);
      });
    }

    test('change headers both ways', async () => {
      const answer = await get('/headers', { 'x-set': 'old', 'x-add': 'old', 'x-gone': 'yes' });
      const headers = waypoint().servers.web.seen.at(-1)?.headers ?? {};
      assert.deepEqual([headers['x-set'], headers['x-add'], headers['x-gone']], ['100%', 'old, new', undefined]);
      assert.equal(answer.headers['x-answer'], 'yes');
    });

    test('share requests by weight', async () => {
      const counts = { web: 0, other: 0 };
      for (let index = 0; index < 200; index++) {
        const { headers } = await get('/weights');
        counts[headers['x-server'] as 'web' | 'other']++;
      }
      // Binomial with 200 and 1/4: below 20 or above 80 happens less than once in a million runs.
      assert.ok(counts.other > 20 && counts.other < 80, JSON.stringify(counts));
    });

    test('answer 500 for a backend that does not exist', async () => {
      assert.equal((await get('/missing')).status, 500);
    });

    test('hide a flaky replica behind retries, and only where they are asked for', async () => {
      assert.equal((await get('/flaky')).status, 200);
      assert.equal((await get('/once')).status, 503);
    });

    test('end what takes too long', async () => {
      assert.equal((await get('/slow')).status, 504);
    });

    test('mirror requests and answer from the backend', async () => {
      const { servers } = waypoint();
      assert.equal((await get('/mirrored')).headers['x-server'], 'web');
      await waitFor(() => servers.other.seen.some(({ path }) => path === '/mirrored'));
    });

    test('answer preflight requests of origins that may, and of no others', async () => {
      const ofOrigin = async (origin: string) =>
        (await get('/cors', { origin, 'access-control-request-method': 'PUT' }, 'OPTIONS')).headers;
      const allowed = await ofOrigin('https://a.example.com');
      assert.equal(allowed['access-control-allow-origin'], 'https://a.example.com');
      assert.equal(allowed['access-control-allow-methods'], 'PUT');
      assert.equal((await ofOrigin('https://a.example.org'))['access-control-allow-origin'], undefined);
    });

    test('of a client’s namespace hold for its clients alone', async () => {
      const from = async (namespace: string, path: string) => {
        const facts = new Map([[0xd0, `spiffe://cluster.local/ns/${namespace}/sa/x`]]);
        const answer = await ask(await waypoint().envoy.connect(vip, 80, { facts }), { path });
        return answer.headers['x-server'] ?? answer.status;
      };
      assert.deepEqual([await from('away', '/away'), await from('away', '/a')], ['other', 404]);
      assert.deepEqual([await from('default', '/away'), await from('default', '/a')], [404, 'web']);
      assert.equal(await from('away-not', '/a'), 'web');
    });

    test('send calls of gRPC by service and method', async () => {
      const call = async (path: string, contentType = 'application/grpc') => {
        const socket = await waypoint().envoy.connect(vip, 81);
        return askHttp2(socket, { method: 'POST', path, headers: { 'content-type': contentType }, body: 'x' });
      };
      assert.equal((await call('/shop.Cart/Add')).headers['x-server'], 'rpc');
      // A status of gRPC for every mistake: 12 unimplemented, 14 unavailable.
      assert.equal((await call('/shop.Cart/Remove')).headers['grpc-status'], '12');
      assert.equal((await call('/shop.Missing/Any')).headers['grpc-status'], '14');
      assert.equal((await call('/shop.Cart/Add', 'text/plain')).status, 404);
    });

    test('pass TLS through by the name that it asks for', async () => {
      const { envoy, servers } = waypoint();
      const hello = async (servername: string) => {
        const socket = connectTls({ socket: await envoy.connect(vip, 443), servername });
        socket.on('error', () => undefined);
      };
      await hello('a.example.com');
      await waitFor(() => servers.bytes.connections === 1);
      assert.equal(servers.more.connections, 0);
      await hello('example.org');
      await waitFor(() => servers.more.connections === 1);
      assert.equal(servers.bytes.connections, 1);
    });
  },
);
