import assert from 'node:assert/strict';

import { waitFor } from '../../support/wait.ts';
import { check } from '../../support/envoy/echo/case.ts';
import type { EchoCase, EchoClient } from '../../support/envoy/echo/case.ts';
import { ports } from '../../support/envoy/echo/world.ts';
import { at, delegate, one, virtualService } from './documents.ts';

type Fields = Readonly<Record<string, unknown>>;

const everything = { percentage: { value: 100 } };

function redirected(name: string, redirect: Fields, status: number, location: string): EchoCase {
  return {
    name: `redirect ${name}`,
    documents: (space) => [virtualService(space, { http: [{ match: [{ uri: { prefix: '/old' } }], redirect }] })],
    checks: [check({ path: '/old/x' }, { status, headers: { location } })],
  };
}

function rewritten(name: string, rewrite: Fields, expect: Parameters<typeof check>[1]): EchoCase {
  return {
    name: `rewrite ${name}`,
    documents: (space) => [one(space, { match: [{ uri: { prefix: '/old' } }], rewrite })],
    checks: [check({ path: '/old/x?y=z' }, expect)],
  };
}

/** Everything that a VirtualService does with requests. */
const cases: readonly EchoCase[] = [
  redirected('uri', { uri: '/new' }, 301, 'http://echo/new'),
  redirected('the prefix of uri', { uri: '%PREFIX()%/new' }, 301, 'http://echo/new/x'),
  redirected('authority', { authority: 'new.example.com' }, 301, 'http://new.example.com/old/x'),
  redirected('port', { port: 8443 }, 301, 'http://echo:8443/old/x'),
  redirected('derivePort', { authority: 'a', derivePort: 'FROM_REQUEST_PORT' }, 301, 'http://a/old/x'),
  redirected('scheme', { scheme: 'https' }, 301, 'https://echo/old/x'),
  redirected('redirectCode', { uri: '/100%', redirectCode: 307 }, 307, 'http://echo/100%'),
  rewritten('uri', { uri: '/new' }, { path: '/new/x?y=z' }),
  rewritten(
    'uriRegexRewrite',
    { uriRegexRewrite: { match: '^/old/(.*)$', rewrite: '/new/\\1' } },
    { path: '/new/x?y=z' },
  ),
  rewritten('authority', { authority: 'new.example.com' }, { path: '/old/x?y=z', seen: { host: 'new.example.com' } }),
  {
    name: 'directResponse',
    documents: (space) => [
      virtualService(space, {
        http: [
          { match: [{ uri: { prefix: '/text' } }], directResponse: { status: 503, body: { string: '100% closed' } } },
          { match: [{ uri: { prefix: '/bytes' } }], directResponse: { status: 200, body: { bytes: '/wD+' } } },
          { directResponse: { status: 404 } },
        ],
      }),
    ],
    checks: [check({ path: '/text' }, { status: 503 }), check({ path: '/none' }, { status: 404 })],
    also: async (client: EchoClient): Promise<void> => {
      assert.equal((await client.ask({ path: '/text' })).body, '100% closed');
      assert.equal((await client.ask({ path: '/bytes' })).headers['content-length'], '3');
    },
  },
  {
    name: 'headers, of the rule and of one destination',
    documents: (space) => [
      one(space, {
        headers: {
          request: {
            set: { 'x-set': '100%', host: 'b.example.com' },
            add: { 'x-add': '%REQ(:path)%' },
            remove: ['x-gone'],
          },
          response: { set: { 'x-answer': '5%' }, remove: ['date'] },
        },
        route: [at('v1', { headers: { request: { set: { 'x-one': 'v1' } }, response: { add: { 'x-two': 'v1' } } } })],
      }),
    ],
    checks: [
      check(
        { headers: { 'x-set': 'old', 'x-add': 'old', 'x-gone': 'old' } },
        {
          seen: {
            'x-set': '100%',
            'x-add': 'old,%REQ(:path)%',
            'x-gone': null,
            'x-one': 'v1',
            host: 'b.example.com',
          },
          headers: { 'x-answer': '5%', 'x-two': 'v1' },
        },
      ),
    ],
  },
  {
    name: 'weights',
    documents: (space) => [
      virtualService(space, { http: [{ route: [at('v1', { weight: 80 }), at('v2', { weight: 20 })] }] }),
    ],
    checks: [],
    also: async (client: EchoClient): Promise<void> => {
      const { v2 } = await client.count(150, {});
      // Six standard deviations of 150 throws at a fifth: 29.
      assert.ok(v2 > 0 && v2 < 60, `v2 had ${v2} of 150`);
    },
  },
  {
    name: 'timeout',
    documents: (space) => [one(space, { timeout: '0.5s' })],
    checks: [check({ headers: { 'x-delay': '2000' } }, { status: 504 }), check({}, { status: 200 })],
  },
  {
    name: 'a timeout of zero is none',
    documents: (space) => [one(space, { timeout: '0s' })],
    checks: [check({ headers: { 'x-delay': '300' } }, { status: 200 })],
  },
  {
    name: 'retries by a status',
    documents: (space) => [one(space, { retries: { attempts: 2, retryOn: '503', backoff: '1ms' } })],
    checks: Array.from({ length: 4 }, () => check({ path: '/flaky' }, { status: 200 })),
  },
  {
    name: 'no retries',
    documents: (space) => [one(space, { retries: { attempts: 0 } })],
    checks: [],
    also: async (client: EchoClient): Promise<void> => {
      const { status } = await client.ask({ path: '/flaky' });
      assert.equal((await client.ask({ path: '/flaky' })).status, status === 200 ? 503 : 200);
    },
  },
  {
    name: 'retries, perTryTimeout',
    documents: (space) => [one(space, { retries: { attempts: 2, perTryTimeout: '300ms', retryOn: '5xx' } })],
    checks: [check({ path: '/tried', headers: { 'x-delay': '2000' } }, { status: 504 })],
    also: (client) => seen(client, 'v1', '/tried', 3),
  },
  {
    name: 'fault, delay',
    documents: (space) => [one(space, { fault: { delay: { fixedDelay: '0.2s', ...everything } } })],
    checks: [],
    also: async (client: EchoClient): Promise<void> => {
      const begun = performance.now();
      assert.equal((await client.ask({})).status, 200);
      // Timers of the two processes are not the same: one may be some milliseconds short by the other.
      assert.ok(performance.now() - begun >= 190);
    },
  },
  {
    name: 'fault, abort',
    documents: (space) => [one(space, { fault: { abort: { httpStatus: 418, ...everything } } })],
    checks: [check({}, { status: 418 })],
  },
  {
    name: 'fault, abort of no request',
    documents: (space) => [one(space, { fault: { abort: { httpStatus: 418, percentage: { value: 0 } } } })],
    checks: Array.from({ length: 5 }, () => check({}, { status: 200 })),
  },
  {
    name: 'fault, abort with a status of gRPC',
    documents: (space) => [
      virtualService(space, {
        http: [
          {
            match: [{ port: ports.grpc, uri: { prefix: '/gateway.Echo/Fail' } }],
            fault: { abort: { grpcStatus: 'RESOURCE_EXHAUSTED', ...everything } },
            route: [{ destination: { host: 'echo', port: { number: ports.grpc } } }],
          },
          { route: [{ destination: { host: 'echo', port: { number: ports.grpc } } }] },
        ],
      }),
    ],
    checks: [
      check({ grpc: true, path: '/gateway.Echo/Fail' }, { grpcStatus: '8' }),
      check({ grpc: true, path: '/gateway.Echo/Echo' }, { grpcStatus: '0' }),
    ],
  },
  {
    name: 'mirror, and mirrors',
    documents: (space) => [
      one(space, {
        mirror: at('v2')['destination'],
        mirrors: [
          { ...at('v2'), percentage: { value: 100 } },
          { ...at('v2'), percentage: { value: 0 } },
        ],
      }),
    ],
    checks: [check({ path: '/copied' }, { server: 'v1' })],
    also: (client) => seen(client, 'v2', '/copied', 2),
  },
  {
    name: 'corsPolicy',
    documents: (space) => [
      one(space, {
        corsPolicy: {
          allowOrigins: [{ exact: 'https://a.example.com' }, { regex: 'https://b[0-9]\\.example\\.com' }],
          allowMethods: ['GET', 'PUT'],
          allowHeaders: ['x-a'],
          exposeHeaders: ['x-b'],
          maxAge: '2m',
          allowCredentials: true,
          unmatchedPreflights: 'IGNORE',
        },
      }),
    ],
    checks: ['https://a.example.com', 'https://b7.example.com', 'https://c.example.com'].map((origin, index) =>
      check(
        { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'PUT' } },
        {
          headers:
            index === 2
              ? { 'access-control-allow-origin': null }
              : {
                  'access-control-allow-origin': origin,
                  'access-control-allow-methods': 'GET,PUT',
                  'access-control-allow-headers': 'x-a',
                  'access-control-max-age': '120',
                  'access-control-allow-credentials': 'true',
                },
        },
      ),
    ),
  },
  {
    name: 'a delegate: its rules within those of the one that leads to it',
    documents: (space) => [
      virtualService(space, {
        http: [{ match: [{ uri: { prefix: '/d' } }], delegate: { name: 'more' } }, { route: [at('v1')] }],
      }),
      delegate(space, 'more', {
        http: [
          { match: [{ uri: { prefix: '/d/2' } }], route: [at('v2')] },
          { match: [{ uri: { prefix: '/e' } }], route: [at('v2')] },
        ],
      }),
    ],
    checks: [
      check({ path: '/d/2' }, { server: 'v2' }),
      check({ path: '/d/1' }, { server: 'v1' }),
      check({ path: '/e' }, { server: 'v1' }),
    ],
    conditions: ['Accepted/UnsupportedValue'],
  },
  {
    name: 'what is not honoured is told: a delegate that is not there, a growing delay',
    documents: (space) => [
      virtualService(space, {
        http: [
          { match: [{ uri: { exact: '/d' } }], delegate: { name: 'more' } },
          {
            fault: { delay: { exponentialDelay: '1s' } },
            route: [at('v1')],
          },
        ],
      }),
    ],
    checks: [check({ path: '/d' }, { status: 500 }), check({}, { server: 'v1' })],
    conditions: ['Accepted/UnsupportedValue', 'ResolvedRefs/DelegateNotFound'],
  },
];

async function seen({ servers }: EchoClient, server: 'v1' | 'v2', path: string, times: number): Promise<void> {
  const count = () => servers[server].seen.filter((request) => request.path === path).length;
  await waitFor(() => count() === times, { what: `${path} seen ${times} times` });
}

export { cases as actionCases };
