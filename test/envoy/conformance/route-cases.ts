import assert from 'node:assert/strict';

import type { Manifest } from '../../support/manifests.ts';
import { waitFor } from '../../support/wait.ts';
import { check } from '../../support/envoy/echo/case.ts';
import type { EchoCase, EchoClient } from '../../support/envoy/echo/case.ts';
import { exact, httpRoute, mirror, pairs, prefix, requestHeaders, responseHeaders, rewrite, to } from './documents.ts';
import { ports } from '../../support/envoy/echo/world.ts';

/** Cases that the profiles of gateways have, for what routes on a service can ask as well. */
const cases: readonly EchoCase[] = [
  {
    name: 'HTTPRouteExactPathMatching',
    documents: (space) => [
      httpRoute(space, [
        { matches: [exact('/one')], backendRefs: [to('v1')] },
        { matches: [exact('/two')], backendRefs: [to('v2')] },
      ]),
    ],
    checks: [
      check({ path: '/one' }, { server: 'v1' }),
      check({ path: '/two' }, { server: 'v2' }),
      ...['/', '/one/example', '/two/', '/Two'].map((path) => check({ path }, { status: 404 })),
    ],
  },
  {
    name: 'HTTPRoutePathMatchOrder',
    documents: (space) => [
      httpRoute(space, [
        { matches: [prefix('/match')], backendRefs: [to('v1')] },
        { matches: [exact('/match/exact')], backendRefs: [to('v1')] },
        { matches: [prefix('/match/exact')], backendRefs: [to('v2')] },
        { matches: [prefix('/match/prefix/one')], backendRefs: [to('v2')] },
      ]),
    ],
    checks: [
      check({ path: '/match/exact' }, { server: 'v1' }),
      check({ path: '/match/exact/one' }, { server: 'v2' }),
      check({ path: '/match/prefix/one/any' }, { server: 'v2' }),
      check({ path: '/match/prefix/two/any' }, { server: 'v1' }),
    ],
  },
  {
    name: 'HTTPRouteMatchingAcrossRoutes',
    documents: (space) => [
      httpRoute(space, [{ matches: [prefix('/'), { headers: pairs({ version: 'one' }) }], backendRefs: [to('v1')] }], {
        name: 'one',
      }),
      httpRoute(
        space,
        [{ matches: [prefix('/v2'), { headers: pairs({ version: 'two' }) }], backendRefs: [to('v2')] }],
        {
          name: 'two',
        },
      ),
    ],
    checks: [
      check({ path: '/example' }, { server: 'v1' }),
      check({ path: '/v2/example' }, { server: 'v2' }),
      check({ headers: { version: 'two' } }, { server: 'v2' }),
      check({ path: '/v2', headers: { version: 'one' } }, { server: 'v2' }),
    ],
  },
  {
    name: 'HTTPRouteHeaderMatching',
    documents: (space: string): readonly Manifest[] => {
      const of = (...values: readonly Readonly<Record<string, string>>[]) =>
        values.map((headers) => ({ headers: pairs(headers) }));
      return [
        httpRoute(space, [
          { matches: of({ version: 'one' }), backendRefs: [to('v1')] },
          { matches: of({ version: 'two' }), backendRefs: [to('v2')] },
          { matches: of({ version: 'two', color: 'orange' }), backendRefs: [to('v1')] },
          { matches: of({ color: 'blue' }, { color: 'green' }), backendRefs: [to('v1')] },
          { matches: of({ color: 'red' }, { color: 'yellow' }), backendRefs: [to('v2')] },
        ]),
      ];
    },
    checks: [
      check({ headers: { Version: 'one' } }, { server: 'v1' }),
      check({ headers: { version: 'two' } }, { server: 'v2' }),
      check({ headers: { version: 'two', color: 'orange' } }, { server: 'v1' }),
      ...['blue', 'green'].map((color) => check({ headers: { color } }, { server: 'v1' })),
      ...['red', 'yellow'].map((color) => check({ headers: { color } }, { server: 'v2' })),
      ...[{}, { color: 'purple' }, { version: 'three' }].map((headers) => check({ headers }, { status: 404 })),
    ],
  },
  {
    name: 'HTTPRouteMethodMatching',
    documents: (space) => [
      httpRoute(space, [
        { matches: [{ method: 'POST' }], backendRefs: [to('v1')] },
        { matches: [{ method: 'GET' }], backendRefs: [to('v2')] },
        { matches: [{ ...prefix('/path1'), method: 'GET' }], backendRefs: [to('v1')] },
        { matches: [{ method: 'PUT', headers: pairs({ version: 'one' }) }], backendRefs: [to('v2')] },
      ]),
    ],
    checks: [
      check({ method: 'POST' }, { server: 'v1' }),
      check({ method: 'GET' }, { server: 'v2' }),
      check({ method: 'GET', path: '/path1' }, { server: 'v1' }),
      check({ method: 'PUT', headers: { version: 'one' } }, { server: 'v2' }),
      check({ method: 'PUT' }, { status: 404 }),
      check({ method: 'HEAD' }, { status: 404 }),
    ],
  },
  {
    name: 'HTTPRouteResponseHeaderModifier',
    documents: (space) => [
      httpRoute(space, [
        {
          filters: [responseHeaders({ set: { 'X-Server': 'set' }, add: { 'X-Add': '100%' }, remove: ['Date'] })],
          backendRefs: [to('v1')],
        },
      ]),
    ],
    checks: [check({}, { headers: { 'x-server': 'set', 'x-add': '100%' } })],
  },
  {
    name: 'HTTPRouteRewriteHost',
    documents: (space) => [
      httpRoute(space, [
        { matches: [prefix('/one')], filters: [rewrite({ hostname: 'one.example.org' })], backendRefs: [to('v1')] },
        {
          matches: [prefix('/headers')],
          filters: [rewrite({ hostname: 'test.example.org' }), requestHeaders({ set: { 'X-Header-Set': 'set' } })],
          backendRefs: [to('v2')],
        },
      ]),
    ],
    checks: [
      check({ path: '/one' }, { server: 'v1', seen: { host: 'one.example.org' } }),
      check({ path: '/headers' }, { server: 'v2', seen: { host: 'test.example.org', 'x-header-set': 'set' } }),
    ],
  },
  {
    name: 'HTTPRouteRequestMirror',
    documents: (space) => [httpRoute(space, [{ filters: [mirror(to('v2'))], backendRefs: [to('v1')] }])],
    checks: [check({ path: '/mirrored' }, { server: 'v1' })],
    also: (client) => copied(client, '/mirrored', 1),
  },
  {
    name: 'HTTPRouteRequestMultipleMirrors',
    documents: (space) => [
      httpRoute(space, [
        { filters: [mirror(to('v2')), mirror(to('v2', { port: ports.http }))], backendRefs: [to('v1')] },
      ]),
    ],
    checks: [check({ path: '/mirrored-twice' }, { server: 'v1' })],
    also: (client) => copied(client, '/mirrored-twice', 2),
  },
  {
    name: 'HTTPRouteRequestPercentageMirror',
    documents: (space) => [
      httpRoute(space, [
        {
          matches: [prefix('/half')],
          filters: [mirror(to('v2'), { fraction: { numerator: 1, denominator: 2 } })],
          backendRefs: [to('v1')],
        },
        { matches: [prefix('/always')], filters: [mirror(to('v2'), { percent: 100 })], backendRefs: [to('v1')] },
        { matches: [prefix('/never')], filters: [mirror(to('v2'), { percent: 0 })], backendRefs: [to('v1')] },
      ]),
    ],
    checks: [],
    also: async (client: EchoClient): Promise<void> => {
      const { v1 } = await client.count(100, { path: '/half' });
      await client.count(20, { path: '/never' });
      // Copies are sent in the order of their requests: when this one has come, all others have.
      await client.ask({ path: '/always' });
      await copied(client, '/always', 1);
      const seen = (path: string) => client.servers.v2.seen.filter((request) => request.path === path).length;
      // Six standard deviations of 100 throws of a coin: 30.
      assert.ok(v1 === 100 && Math.abs(seen('/half') - 50) < 30, `${seen('/half')} of 100 were mirrored`);
      assert.equal(seen('/never'), 0);
    },
  },
  {
    name: 'HTTPRouteTimeoutRequest',
    documents: (space) => [
      httpRoute(space, [
        { matches: [prefix('/timeout')], timeouts: { request: '500ms' }, backendRefs: [to('v1')] },
        { matches: [prefix('/disabled')], timeouts: { request: '0s' }, backendRefs: [to('v1')] },
      ]),
    ],
    checks: [
      check({ path: '/timeout' }, { server: 'v1' }),
      check({ path: '/timeout', headers: { 'x-delay': '2000' } }, { status: 504 }),
      check({ path: '/disabled', headers: { 'x-delay': '300' } }, { server: 'v1' }),
    ],
  },
  {
    name: 'HTTPRouteTimeoutBackendRequest',
    documents: (space) => [
      httpRoute(space, [
        { matches: [prefix('/timeout')], timeouts: { backendRequest: '500ms' }, backendRefs: [to('v1')] },
        { matches: [prefix('/disabled')], timeouts: { backendRequest: '0s' }, backendRefs: [to('v1')] },
      ]),
    ],
    checks: [
      check({ path: '/timeout' }, { server: 'v1' }),
      check({ path: '/timeout', headers: { 'x-delay': '2000' } }, { status: 504 }),
      check({ path: '/disabled', headers: { 'x-delay': '300' } }, { server: 'v1' }),
    ],
  },
  {
    name: 'HTTPRouteRetry',
    documents: (space) => [
      httpRoute(space, [
        { matches: [prefix('/flaky')], retry: { codes: [503], attempts: 2, backoff: '1ms' }, backendRefs: [to('v1')] },
      ]),
    ],
    checks: Array.from({ length: 4 }, () => check({ path: '/flaky' }, { status: 200 })),
  },
];

/** So many copies of a request have come to the second version, which is asked for by nobody else. */
async function copied({ servers }: EchoClient, path: string, times: number): Promise<void> {
  const copies = () => servers.v2.seen.filter((request) => request.path === path).length;
  await waitFor(() => copies() === times, { what: `${times} copies of ${path}` });
}

export { cases as routeCases };
