import assert from 'node:assert/strict';
import { test } from 'node:test';

import { extensionProvider } from '../../src/config/manifests/schemas/extension-providers.ts';
import { externalAuthorizers } from '../../src/envoy/security/external-authorizers.ts';
import { destination, endpoint, input, port, service } from '../support/envoy/inputs.ts';
import { GrpcAuthorizer } from '../support/envoy/grpc-authorizer.ts';
import { ask, readFirst } from '../support/envoy/requests.ts';
import type { Asked } from '../support/envoy/requests.ts';
import { policy, securityContext, securityOfWeb } from '../support/envoy/security.ts';
import { echoServer, httpServer } from '../support/envoy/servers.ts';
import { envoySuite } from '../support/envoy/suite.ts';

const client = 'spiffe://cluster.local/ns/default/sa/client';
const stranger = 'spiffe://cluster.local/ns/default/sa/stranger';
const at = (name: string) => ({ service: `${name}.default.svc.cluster.local`, port: 80 });

const providers = {
  grpc: { envoyExtAuthzGrpc: at('grpc-authorizer') },
  http: {
    envoyExtAuthzHttp: {
      ...at('http-authorizer'),
      pathPrefix: '/check',
      includeRequestHeadersInCheck: ['x-team', 'x-forwarded-client-cert'],
      includeAdditionalHeadersInCheck: { 'x-realm': '100% shop' },
      includeRequestBodyInCheck: { maxRequestBytes: 1000 },
      headersToUpstreamOnAllow: ['x-found*'],
      headersToDownstreamOnAllow: ['x-told'],
    },
  },
  absent: { envoyExtAuthzHttp: { ...at('nobody'), statusOnError: '503' } },
  open: { envoyExtAuthzGrpc: { ...at('nobody'), failOpen: true } },
} as const;

const authorizers = externalAuthorizers(
  Object.entries(providers).map(([name, provider]) => extensionProvider.parse({ name, ...provider })),
);
const rules = [{ to: [{ operation: { paths: ['/asked*'] } }] }];
const custom = (name: string, of: readonly unknown[] = rules) =>
  securityOfWeb([policy({ action: 'CUSTOM', provider: { name }, rules: of }, {}, securityContext({ authorizers }))]);

const names = Object.keys(providers) as (keyof typeof providers)[];
const addressOf = (name: keyof typeof providers): string => `10.96.5.${names.indexOf(name) + 1}`;
const hostOf = (name: string): string => `${name}.example`;

envoySuite(
  'an external authorizer',
  async () => ({
    web: await httpServer('web'),
    bytes: await echoServer('bytes'),
    http: await httpServer('authorizer', ({ path }, response) => {
      response.statusCode = path.startsWith('/check/asked/yes') ? 200 : 401;
      response.setHeader('x-found-team', 'red');
      response.setHeader('x-told', 'yes');
      response.end();
    }),
    grpc: await GrpcAuthorizer.listen(({ path, metadata }) => {
      const allow =
        path === '' ? String(metadata['x-forwarded-client-cert']).endsWith('/sa/client') : path === '/asked/yes';
      return { allow, status: 429, headers: allow ? { 'x-found': 'it' } : { 'x-reason': 'no' } };
    }),
  }),
  ({ web, bytes, http, grpc }) =>
    input({
      services: names.map((name) => ({
        ...service('web', addressOf(name), port(80, 'http1'), port(9, 'tcp')),
        hostname: hostOf(name),
        security: custom(name),
      })),
      destinations: [
        ...names.flatMap((name) => [
          { ...destination('web', 80, 'http1', [endpoint('10.0.0.1', web.port)]), hostname: hostOf(name) },
          { ...destination('web', 9, 'tcp', [endpoint('10.0.0.1', bytes.port)]), hostname: hostOf(name) },
        ]),
        destination('http-authorizer', 80, 'http1', [endpoint('10.0.0.2', http.port)]),
        destination('grpc-authorizer', 80, 'grpc', [endpoint('10.0.0.3', grpc.port)]),
        destination('nobody', 80, 'grpc', [endpoint('10.0.0.4', 9)]),
      ],
    }),
  (waypoint) => {
    const connect = async (name: keyof typeof providers, to: number, identity = client) =>
      waypoint().envoy.connect(addressOf(name), to, { facts: new Map([[0xd0, identity]]) });
    const request = async (name: keyof typeof providers, asked: Asked) => ask(await connect(name, 80), asked);
    const says = async (name: keyof typeof providers, identity?: string) => {
      const socket = await connect(name, 9, identity);
      socket.write('ping');
      return readFirst(socket, 3_000).catch(() => 'nothing');
    };

    test('over gRPC is asked about what the rules name, and heard', async () => {
      const { grpc, web } = waypoint().servers;
      const before = grpc.questions.length;
      assert.equal((await request('grpc', { path: '/free' })).status, 200);
      assert.equal(grpc.questions.length, before);
      assert.equal((await request('grpc', { path: '/asked/yes', headers: { 'x-a': 'b' } })).status, 200);
      assert.equal(web.seen.at(-1)?.headers['x-found'], 'it');
      const { method, path, headers, metadata } = grpc.questions.at(-1) ?? assert.fail();
      assert.deepEqual([method, path, headers['x-a']], ['GET', '/asked/yes', 'b']);
      assert.equal(metadata['x-forwarded-client-cert'], `URI=${client}`);
      const refused = await request('grpc', { path: '/asked/no' });
      assert.deepEqual([refused.status, refused.headers['x-reason']], [429, 'no']);
    });

    test('over HTTP is shown what it is to see, and no header of a client in its place', async () => {
      const { http, web } = waypoint().servers;
      const headers = { 'x-team': 'red', 'x-secret': 'word', 'x-forwarded-client-cert': 'URI=spiffe://forged' };
      const allowed = await request('http', { method: 'POST', path: '/asked/yes', headers, body: 'hello' });
      assert.deepEqual([allowed.status, allowed.headers['x-told']], [200, 'yes']);
      assert.equal(web.seen.at(-1)?.headers['x-found-team'], 'red');
      const seen = http.seen.at(-1) ?? assert.fail();
      assert.deepEqual(
        [seen.path, seen.method, seen.body, seen.headers['x-team'], seen.headers['x-secret'], seen.headers['x-realm']],
        ['/check/asked/yes', 'POST', 'hello', 'red', undefined, '100% shop'],
      );
      assert.equal(seen.headers['x-forwarded-client-cert'], `URI=${client}`);
      assert.equal((await request('http', { path: '/asked/no' })).status, 401);
    });

    test('who does not answer denies as it is written, or lets pass where that is written', async () => {
      assert.equal((await request('absent', { path: '/asked' })).status, 503);
      assert.equal((await request('open', { path: '/asked' })).status, 200);
    });

    test('over gRPC is asked about connections, too', async () => {
      const { grpc } = waypoint().servers;
      assert.deepEqual([await says('grpc'), await says('grpc', stranger)], ['bytes:ping', 'nothing']);
      const { method, path, metadata } = grpc.questions.at(-1) ?? assert.fail();
      assert.deepEqual([method, path, metadata['x-forwarded-client-cert']], ['', '', `URI=${stranger}`]);
    });

    test('over HTTP cannot be asked about connections, which are denied', async () => {
      assert.equal(await says('http'), 'nothing');
    });
  },
);
