import assert from 'node:assert/strict';

import type { Manifest } from '../../support/manifests.ts';
import { check } from '../../support/envoy/echo/case.ts';
import type { EchoCase, EchoClient } from '../../support/envoy/echo/case.ts';
import { exact, httpRoute, pairs, prefix, responseHeaders, to } from './documents.ts';
import { consumerOf, ports } from '../../support/envoy/echo/world.ts';

/** The cases of the profile MESH-HTTP, core and extended. */
const cases: readonly EchoCase[] = [
  {
    name: 'MeshBasic',
    documents: () => [],
    checks: [check({}, { status: 200 })],
  },
  {
    // What goes to a pod by its own address does not come to the waypoint of its service: test/netns/waypoints has that half.
    name: 'MeshFrontend',
    documents: (space) => [marked(space, 'set')],
    checks: [check({ to: 'echo-v2' }, { server: 'v2', headers: { 'x-header-set': 'set' } })],
  },
  {
    name: 'MeshFrontendHostname',
    documents: (space) => [marked(space, 'set')],
    checks: [
      check({ to: 'echo-v2', headers: { host: 'echo-v1' } }, { server: 'v2', headers: { 'x-header-set': 'set' } }),
      check({ to: 'echo-v1', headers: { host: 'echo-v2' } }, { server: 'v1', headers: { 'x-header-set': null } }),
    ],
  },
  {
    name: 'MeshPorts',
    documents: (space) => [
      httpRoute(space, [{ filters: [responseHeaders({ set: { 'X-Header-Set': 'v1' } })], backendRefs: [to('v1')] }], {
        name: 'one-port',
        of: 'echo-v1',
      }),
      httpRoute(space, [{ filters: [responseHeaders({ set: { 'X-Header-Set': 'v2' } })], backendRefs: [to('v2')] }], {
        name: 'every-port',
        of: 'echo-v2',
        port: null,
      }),
    ],
    // A route of requests on all ports of a service is one on its port of gRPC, too.
    checks: [
      check({ to: 'echo-v1' }, { server: 'v1', headers: { 'x-header-set': 'v1' } }),
      check({ to: 'echo-v1', port: ports.otherHttp }, { server: 'v1', headers: { 'x-header-set': null } }),
      check({ to: 'echo-v2' }, { server: 'v2', headers: { 'x-header-set': 'v2' } }),
      check({ to: 'echo-v2', port: ports.otherHttp }, { server: 'v2', headers: { 'x-header-set': 'v2' } }),
    ],
  },
  {
    name: 'MeshTrafficSplit',
    documents: (space) => [
      httpRoute(space, [
        { matches: [exact('/v1')], backendRefs: [to('v1')] },
        { matches: [exact('/v2')], backendRefs: [to('v2')] },
      ]),
    ],
    checks: [check({ path: '/v1' }, { server: 'v1' }), check({ path: '/v2' }, { server: 'v2' })],
  },
  {
    // Its backend is its parent, so it reaches nothing that its clients do not reach without it: no ReferenceGrant.
    name: 'MeshConsumerRoute',
    documents: (space) => [
      httpRoute(
        consumerOf(space),
        [
          {
            filters: [responseHeaders({ set: { 'X-Header-Set': 'set' } })],
            backendRefs: [to('v1', { namespace: space, port: ports.http })],
          },
        ],
        { of: 'echo-v1', ofNamespace: space, port: null },
      ),
    ],
    checks: [
      check((space) => ({ to: 'echo-v1', from: consumerOf(space) }), {
        server: 'v1',
        headers: { 'x-header-set': 'set' },
      }),
      check({ to: 'echo-v1' }, { server: 'v1', headers: { 'x-header-set': null } }),
      // What the service asks of clients of one port says nothing of another.
      check((space) => ({ to: 'echo-v1', from: consumerOf(space), port: ports.otherHttp }), { status: 500 }),
    ],
    conditions: ['ResolvedRefs/RefNotPermitted'],
  },
  {
    name: 'MeshHTTPRouteSimpleSameNamespace',
    documents: (space) => [httpRoute(space, [{ backendRefs: [to('v1')] }])],
    checks: [check({}, { server: 'v1' })],
  },
  {
    name: 'MeshHTTPRouteMatching',
    documents: (space) => [
      httpRoute(space, [
        { matches: [prefix('/'), { headers: pairs({ version: 'one' }) }], backendRefs: [to('v1')] },
        { matches: [prefix('/v2'), { headers: pairs({ version: 'two' }) }], backendRefs: [to('v2')] },
      ]),
    ],
    checks: [
      ...['/', '/example', '/v2example', '/foo/v2/example'].map((path) => check({ path }, { server: 'v1' })),
      check({ headers: { Version: 'one' } }, { server: 'v1' }),
      ...['/v2', '/v2/', '/v2/example'].map((path) => check({ path }, { server: 'v2' })),
      check({ headers: { Version: 'two' } }, { server: 'v2' }),
    ],
  },
  {
    name: 'MeshHTTPRouteQueryParamMatching',
    documents: (space: string): readonly Manifest[] => {
      const animal = (value: string) => ({ queryParams: pairs({ animal: value }) });
      const version = (value: string) => ({ headers: pairs({ version: value }) });
      return [
        httpRoute(space, [
          { matches: [animal('whale')], backendRefs: [to('v1')] },
          { matches: [animal('dolphin')], backendRefs: [to('v2')] },
          { matches: [{ ...prefix('/path1'), ...animal('whale') }], backendRefs: [to('v1')] },
          { matches: [{ ...version('one'), ...animal('whale') }], backendRefs: [to('v2')] },
          {
            matches: [
              { ...prefix('/path3'), ...animal('shark') },
              { ...prefix('/path4'), ...animal('kraken'), ...version('three') },
            ],
            backendRefs: [to('v1')],
          },
          { matches: [{ ...prefix('/path5'), ...animal('hydra') }], backendRefs: [to('v1')] },
          { matches: [animal('hydra')], backendRefs: [to('v2')] },
        ]),
      ];
    },
    checks: [
      ...['/?animal=whale', '/?animal=whale&otherparam=irrelevant', '/path1?animal=whale', '/path3?animal=shark'].map(
        (path) => check({ path }, { server: 'v1' }),
      ),
      ...['/?animal=dolphin', '/?animal=dolphin&color=yellow'].map((path) => check({ path }, { server: 'v2' })),
      check({ path: '/?animal=whale', headers: { version: 'one' } }, { server: 'v2' }),
      check({ path: '/path4?animal=kraken', headers: { version: 'three' } }, { server: 'v1' }),
      check({ path: '/path5?animal=hydra' }, { server: 'v1' }),
      ...['/', '/?color=blue', '/?animal=dog', '/?animal=whaledolphin', '/?animal=shark', '/path4?animal=kraken'].map(
        (path) => check({ path }, { status: 404 }),
      ),
    ],
  },
  {
    name: 'MeshHTTPRouteNamedRule',
    documents: (space) => [
      httpRoute(space, [
        { name: 'named-rule', matches: [prefix('/named')], backendRefs: [to('v1')] },
        { matches: [prefix('/unnamed')], backendRefs: [to('v2')] },
      ]),
    ],
    checks: [check({ path: '/named' }, { server: 'v1' }), check({ path: '/unnamed' }, { server: 'v2' })],
  },
  {
    name: 'MeshHTTPRouteWeight',
    documents: (space) => [httpRoute(space, [{ backendRefs: [to('v1', { weight: 70 }), to('v2', { weight: 30 })] }])],
    checks: [],
    also: async (client: EchoClient): Promise<void> => {
      const { v2 } = await client.count(150, {});
      // Six standard deviations of 150 throws at 0.3: 34.
      assert.ok(v2 > 11 && v2 < 79, `v2 had ${v2} of 150`);
    },
  },
];

function marked(space: string, value: string) {
  const filters = [responseHeaders({ set: { 'X-Header-Set': value } })];
  return httpRoute(space, [{ filters, backendRefs: [to('v2')] }], { of: 'echo-v2' });
}

export { cases as meshCases };
