import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { attachedRoutes, parentOutcomes, serverKey } from '../../../../../src/envoy/gateways/routes/parent-outcomes.ts';
import { routedPort } from '../../../../../src/envoy/gateways/routes/routed-port.ts';
import { Door, listener, terminated, to, under } from '../../../../support/envoy/gateway-doors.ts';
import type { Manifests, Surroundings } from '../../../../support/envoy/gateway-doors.ts';

const three = { one: [80], two: [80], three: [80], four: [80] };

/** By the cases of the Gateway API's own suite for gateways: what of them data can show, without a proxy. */
function refusals(manifests: Manifests, surroundings: Surroundings = {}): readonly string[] {
  const door = new Door(manifests, surroundings);
  return [...door.routes.requests, ...door.routes.connections].flatMap(({ route, parents }) => {
    const serversOf = (gateway: string) => door.servers.filter(({ resource }) => resource === gateway);
    const outcomes = parentOutcomes(route, parents, serversOf, door.lookups);
    return outcomes.map(({ refusal }) => refusal?.reason ?? 'Accepted');
  });
}

const plain = { Gateway: [{ spec: { listeners: [listener('http', null)] } }] };

void describe('the Gateway API at gateways', () => {
  test('HTTPRouteSimpleSameNamespace, HTTPRouteHTTPSListener', () => {
    const listeners = [
      listener('http', null),
      listener('https', null, { port: 443, protocol: 'HTTPS', ...terminated }),
    ];
    const door = new Door({ Gateway: [{ spec: { listeners } }], HTTPRoute: [{ spec: { rules: [to('web')] } }] });
    assert.equal(door.answer('any.example'), 'web');
    assert.equal(door.answer('any.example', { port: 443 }), 'web');
  });

  test('HTTPRouteHostnameIntersection', () => {
    const listeners = [
      listener('exact', 'very.specific.com'),
      listener('wide', '*.wildcard.io'),
      listener('deep', '*.anotherwildcard.io'),
    ];
    const route = (name: string, backend: string, hostnames: readonly string[]) => ({
      name,
      spec: { hostnames, rules: [to(backend, under(`/${name}`))] },
    });
    const door = new Door(
      {
        Gateway: [{ spec: { listeners } }],
        HTTPRoute: [
          route('s1', 'one', ['non.matching.com', '*.nonmatchingwildcard.io', 'very.specific.com']),
          route('s2', 'one', [
            'non.matching.com',
            'wildcard.io',
            'foo.wildcard.io',
            'bar.wildcard.io',
            'foo.bar.wildcard.io',
          ]),
          route('s3', 'two', ['*.specific.com']),
          route('s4', 'three', ['*.anotherwildcard.io']),
          route('s5', 'four', ['non.matching.com']),
        ],
      },
      { services: three },
    );
    for (const [host, path, expected] of [
      ['very.specific.com', '/s1', 'one'],
      ['non.matching.com', '/s1', 404],
      ['foo.nonmatchingwildcard.io', '/s1', 404],
      ['foo.wildcard.io', '/s2', 'one'],
      ['foo.bar.wildcard.io', '/s2', 'one'],
      ['wildcard.io', '/s2', 404],
      ['non.matching.com', '/s2', 404],
      ['very.specific.com', '/s3', 'two'],
      ['non.specific.com', '/s3', 404],
      ['foo.anotherwildcard.io', '/s4', 'three'],
      ['foo.bar.anotherwildcard.io', '/s4', 'three'],
      ['anotherwildcard.io', '/s4', 404],
      ['non.matching.com', '/s5', 404],
    ] as const)
      assert.equal(door.answer(host, { path }), expected, `${host}${path}`);
  });

  test('HTTPRouteListenerHostnameMatching, GRPCRouteListenerHostnameMatching', () => {
    const listeners = [
      listener('listener-1', 'bar.com'),
      listener('listener-2', 'foo.bar.com'),
      listener('listener-3', '*.bar.com'),
      listener('listener-4', '*.foo.com'),
    ];
    const routes = [
      { name: 'r1', spec: { parentRefs: [{ name: 'gateway', sectionName: 'listener-1' }], rules: [to('one')] } },
      { name: 'r2', spec: { parentRefs: [{ name: 'gateway', sectionName: 'listener-2' }], rules: [to('two')] } },
      {
        name: 'r3',
        spec: {
          parentRefs: [
            { name: 'gateway', sectionName: 'listener-3' },
            { name: 'gateway', sectionName: 'listener-4' },
          ],
          rules: [to('three')],
        },
      },
    ];
    for (const [kind, headers] of [
      ['HTTPRoute', {}],
      ['GRPCRoute', { 'content-type': 'application/grpc' }],
    ] as const) {
      const door = new Door({ Gateway: [{ spec: { listeners } }], [kind]: routes }, { services: three });
      for (const [host, expected] of [
        ['bar.com', 'one'],
        ['foo.bar.com', 'two'],
        ['baz.bar.com', 'three'],
        ['boo.bar.com', 'three'],
        ['multiple.prefixes.bar.com', 'three'],
        ['multiple.prefixes.foo.com', 'three'],
        ['foo.com', 404],
        ['no.matching.host', 404],
      ] as const)
        assert.equal(door.answer(host, { headers }), expected, `${kind} ${host}`);
    }
  });

  test('GatewayHTTPListenerIsolation', () => {
    const names = { empty: null, example: '*.example.com', foo: '*.foo.example.com', abc: 'abc.foo.example.com' };
    const listeners = Object.entries(names).map(([name, hostname]) => listener(name, hostname));
    const all = ['bar.com', '*.example.com', '*.foo.example.com', 'abc.foo.example.com'];
    for (const hostnames of [[], all]) {
      const HTTPRoute = Object.keys(names).map((name) => ({
        name,
        spec: {
          hostnames,
          parentRefs: [{ name: 'gateway', sectionName: name }],
          rules: [to('web', under(`/${name}`))],
        },
      }));
      const door = new Door({ Gateway: [{ spec: { listeners } }], HTTPRoute });
      for (const [host, own] of [
        ['bar.com', 'empty'],
        ['bar.example.com', 'example'],
        ['bar.foo.example.com', 'foo'],
        ['abc.foo.example.com', 'abc'],
      ] as const)
        for (const name of Object.keys(names))
          assert.equal(door.answer(host, { path: `/${name}` }), name === own ? 'web' : 404, `${host}/${name}`);
    }
  });

  test('HTTPRouteMatchingAcrossRoutes', () => {
    const door = new Door(
      {
        ...plain,
        HTTPRoute: [
          {
            name: 'part1',
            spec: {
              hostnames: ['example.com', 'example.net'],
              rules: [
                to('one', { matches: [{ path: { value: '/' } }, { headers: [{ name: 'version', value: 'one' }] }] }),
              ],
            },
          },
          {
            name: 'part2',
            spec: {
              hostnames: ['example.com'],
              rules: [
                to('two', { matches: [{ path: { value: '/v2' } }, { headers: [{ name: 'version', value: 'two' }] }] }),
              ],
            },
          },
        ],
      },
      { services: three },
    );
    for (const [host, path, version, expected] of [
      ['example.com', '/', '', 'one'],
      ['example.com', '/', 'one', 'one'],
      ['example.net', '/example', '', 'one'],
      ['example.com', '/v2', '', 'two'],
      ['example.com', '/v2example', '', 'one'],
      ['example.com', '/foo/v2/example', '', 'one'],
      ['example.com', '/', 'two', 'two'],
      ['example.net', '/v2', '', 'one'],
    ] as const)
      assert.equal(door.answer(host, { path, headers: { version } }), expected, `${host}${path} ${version}`);
  });

  test('HTTPRouteCrossNamespace: a listener for all namespaces takes routes of others', () => {
    const listeners = [listener('http', null, { allowedRoutes: { namespaces: { from: 'All' } } })];
    const spec = { parentRefs: [{ name: 'gateway', namespace: 'default' }], rules: [to('backend')] };
    const door = new Door(
      { Gateway: [{ spec: { listeners } }], HTTPRoute: [{ namespace: 'away', spec }] },
      { services: { 'away/backend': [80] } },
    );
    assert.equal(door.answer('any.example'), 'backend');
  });

  test('GatewayModifyListeners: namespaces by their labels, and none of those that nobody knows', () => {
    const from = { from: 'Selector', selector: { matchLabels: { team: 'shop' } } };
    const Gateway = [{ spec: { listeners: [listener('http', null, { allowedRoutes: { namespaces: from } })] } }];
    const spec = { parentRefs: [{ name: 'gateway', namespace: 'default' }], rules: [to('web')] };
    const HTTPRoute = ['shop', 'others', 'unknown'].map((namespace) => ({ namespace, spec }));
    const namespaceLabels = { shop: { team: 'shop' }, others: { team: 'others' } };
    assert.deepEqual(refusals({ Gateway, HTTPRoute }, { namespaceLabels }), [
      'Accepted',
      'NotAllowedByListeners',
      'NotAllowedByListeners',
    ]);
  });

  test('HTTPRouteInvalidCrossNamespaceParentRef', () => {
    const spec = { parentRefs: [{ name: 'gateway', namespace: 'default' }], rules: [to('web')] };
    const manifests = { ...plain, HTTPRoute: [{ namespace: 'away', spec }] };
    assert.deepEqual(refusals(manifests), ['NotAllowedByListeners']);
    assert.equal(new Door(manifests).answer('any.example'), 404);
  });

  test('HTTPRouteInvalidParentRefNotMatchingSectionName, HTTPRouteInvalidParentRefNotMatchingListenerPort', () => {
    const parentRefs = [
      { name: 'gateway', sectionName: 'unknown' },
      { name: 'gateway', port: 81 },
    ];
    const manifests = { ...plain, HTTPRoute: [{ spec: { parentRefs, rules: [to('web')] } }] };
    assert.deepEqual(refusals(manifests), ['NoMatchingParent', 'NoMatchingParent']);
    assert.equal(new Door(manifests).answer('any.example'), 404);
  });

  test('HTTPRouteParentRefPort', () => {
    const listeners = [listener('one', null), listener('two', null, { port: 8080 })];
    const HTTPRoute = [{ spec: { parentRefs: [{ name: 'gateway', port: 8080 }], rules: [to('web')] } }];
    const door = new Door({ Gateway: [{ spec: { listeners } }], HTTPRoute });
    assert.deepEqual([door.answer('a.example'), door.answer('a.example', { port: 8080 })], [404, 'web']);
  });

  test('HTTPRouteInvalidNoMatchingListenerHostname', () => {
    const Gateway = [{ spec: { listeners: [listener('http', 'very.specific.com')] } }];
    const spec = { hostnames: ['specific.but.wrong.com', 'wildcard.io'], rules: [to('web')] };
    assert.deepEqual(refusals({ Gateway, HTTPRoute: [{ spec }] }), ['NoMatchingListenerHostname']);
  });

  test('HTTPRouteInvalidBackendRefUnknownKind, HTTPRouteInvalidNonExistentBackendRef, HTTPRouteInvalidCrossNamespaceBackendRef', () => {
    const refs = [
      { group: 'example.com', kind: 'Other', name: 'web', port: 80 },
      { name: 'gone', port: 80 },
      { namespace: 'away', name: 'web', port: 80 },
    ];
    const HTTPRoute = refs.map((ref, index) => ({
      name: `route-${index}`,
      spec: { rules: [{ ...under(`/${index}`), backendRefs: [ref] }] },
    }));
    const door = new Door({ ...plain, HTTPRoute }, { services: { web: [80], 'away/web': [80] } });
    assert.deepEqual(
      refs.map((_, index) => door.answer('any.example', { path: `/${index}` })),
      ['500', '500', '500'],
    );
    assert.deepEqual(
      door.routes.requests.map(({ route }) => route.conditions[0]?.reason),
      ['InvalidKind', 'BackendNotFound', 'RefNotPermitted'],
    );
    assert.deepEqual(refusals({ ...plain, HTTPRoute }), ['Accepted', 'Accepted', 'Accepted']);
  });

  test('HTTPRouteReferenceGrant', () => {
    const HTTPRoute = [{ spec: { rules: [{ backendRefs: [{ namespace: 'away', name: 'far', port: 80 }] }] } }];
    const services = { 'away/far': [80] };
    assert.equal(new Door({ ...plain, HTTPRoute }, { services, granted: true }).answer('any.example'), 'far');
  });

  for (const [name, at, cases] of [
    [
      'HTTPRouteRedirectPortAndScheme on port 80',
      listener('l', null),
      [
        [{}, '://example.org:'],
        [{ port: 80 }, '://example.org:80'],
        [{ port: 8080 }, '://example.org:8080'],
        [{ scheme: 'https' }, 'https://example.org:443'],
        [{ scheme: 'https', port: 8443 }, 'https://example.org:8443'],
      ],
    ],
    [
      'HTTPRouteRedirectPortAndScheme on port 8080',
      listener('l', null, { port: 8080 }),
      [
        [{}, '://example.org:8080'],
        [{ port: 80 }, '://example.org:80'],
        [{ scheme: 'https' }, 'https://example.org:443'],
      ],
    ],
    [
      'HTTPRouteRedirectPortAndScheme on port 443',
      listener('l', null, { port: 443, protocol: 'HTTPS', ...terminated }),
      [
        [{}, 'https://example.org:'],
        [{ port: 443 }, 'https://example.org:443'],
        [{ port: 8443 }, 'https://example.org:8443'],
        [{ scheme: 'http' }, 'http://example.org:80'],
        [{ scheme: 'http', port: 8080 }, 'http://example.org:8080'],
      ],
    ],
  ] as const)
    test(`${name}: the usual port goes without saying where the scheme is known`, () => {
      for (const [redirect, expected] of cases) {
        const filters = [{ type: 'RequestRedirect', requestRedirect: { hostname: 'example.org', ...redirect } }];
        const door = new Door({
          Gateway: [{ spec: { listeners: [at] } }],
          HTTPRoute: [{ spec: { rules: [{ filters }] } }],
        });
        const { port } = at as { readonly port: number };
        assert.equal(door.answer('a.example', { port }), expected, JSON.stringify(redirect));
      }
    });

  test('a redirect that names no host leaves the port that the client has come by, on usual ports', () => {
    const filters = [{ type: 'RequestRedirect', requestRedirect: { scheme: 'https' } }];
    const door = new Door({ ...plain, HTTPRoute: [{ spec: { rules: [{ filters }] } }] });
    assert.equal(door.answer('a.example'), 'https://:');
  });

  test('HTTPRouteNoBackendRefs, and a listener without routes: nothing is there', () => {
    assert.equal(new Door(plain).answer('any.example'), 404);
    const door = new Door({
      ...plain,
      HTTPRoute: [{ spec: { hostnames: ['a.example'], rules: [to('web', under('/a'))] } }],
    });
    assert.deepEqual([door.answer('a.example', { path: '/b' }), door.answer('b.example', { path: '/a' })], [404, 404]);
  });

  test('TLSRouteSimpleSameNamespace: TLS is passed through by its name', () => {
    const tls = { port: 443, protocol: 'TLS', tls: { mode: 'Passthrough' } };
    const Gateway = [{ spec: { listeners: [listener('tls', null, tls)] } }];
    const TLSRoute = [{ spec: { hostnames: ['abc.example.com'], rules: [to('web')] } }];
    const door = new Door({ Gateway, TLSRoute });
    assert.deepEqual(door.connected('abc.example.com', 443), ['web']);
    assert.deepEqual(door.connected('other.example.com', 443), []);
    assert.deepEqual(door.connected(null, 443), []);
  });

  test('TLSRouteHostnameIntersection', () => {
    const tls = { port: 443, protocol: 'TLS', tls: { mode: 'Passthrough' } };
    const Gateway = [
      { spec: { listeners: [listener('wide', '*.example.com', tls), listener('exact', 'abc.example.com', tls)] } },
    ];
    const route = (name: string, sectionName: string, hostnames: readonly string[]) => ({
      name,
      spec: { parentRefs: [{ name: 'gateway', sectionName }], hostnames, rules: [to(name)] },
    });
    const TLSRoute = [
      route('one', 'wide', ['*.com']),
      route('two', 'exact', ['*.example.com']),
      route('three', 'wide', ['abc.example.com', 'x.y.example.com']),
    ];
    const door = new Door({ Gateway, TLSRoute }, { services: three });
    assert.deepEqual(door.connected('def.example.com', 443), ['one']);
    assert.deepEqual(door.connected('abc.example.com', 443), ['two']);
    assert.deepEqual(door.connected('x.y.example.com', 443), ['three']);
    assert.deepEqual(door.connected('example.com', 443), []);
  });

  test('TLSRouteTerminateSimpleSameNamespace', () => {
    const Gateway = [
      { spec: { listeners: [listener('tls', 'abc.example.com', { port: 443, protocol: 'TLS', ...terminated })] } },
    ];
    const TLSRoute = [{ spec: { hostnames: ['abc.example.com'], rules: [to('web')] } }];
    assert.deepEqual(new Door({ Gateway, TLSRoute }).connected('abc.example.com', 443), ['web']);
  });

  test('TLSRouteInvalidNoMatchingListenerHostname, and a TLSRoute at a listener for requests', () => {
    const tls = { port: 443, protocol: 'TLS', tls: { mode: 'Passthrough' } };
    const Gateway = [{ spec: { listeners: [listener('tls', 'abc.example.com', tls), listener('http', null)] } }];
    const parent = (sectionName: string) => [{ name: 'gateway', sectionName }];
    const TLSRoute = ['tls', 'http'].map((name) => ({
      name,
      spec: { parentRefs: parent(name), hostnames: ['other.example.com'], rules: [to('web')] },
    }));
    assert.deepEqual(refusals({ Gateway, TLSRoute }), ['NoMatchingListenerHostname', 'NotAllowedByListeners']);
  });

  test('TCPRoute: of several the oldest has the connections', () => {
    const Gateway = [{ spec: { listeners: [listener('tcp', null, { port: 9000, protocol: 'TCP' })] } }];
    const TCPRoute = [
      { name: 'young', created: '2026-02-02T00:00:00Z', spec: { rules: [to('other')] } },
      { name: 'old', created: '2026-02-01T00:00:00Z', spec: { rules: [to('web')] } },
    ];
    const door = new Door({ Gateway, TCPRoute });
    assert.deepEqual(door.connected(null, 9000), ['web']);
    assert.deepEqual(door.reasons, ['TCPRoute default/young RouteConflict']);
  });

  test('an HTTPRoute and a GRPCRoute of one host: the older one stays', () => {
    const door = new Door({
      ...plain,
      GRPCRoute: [
        { name: 'g', created: '2025-01-01T00:00:00Z', spec: { hostnames: ['a.example'], rules: [to('web')] } },
      ],
      HTTPRoute: [{ name: 'h', spec: { hostnames: ['a.example', 'b.example'], rules: [to('other')] } }],
    });
    assert.equal(door.answer('a.example'), 404);
    assert.equal(door.answer('b.example'), 'other');
    assert.deepEqual(door.reasons, ['HTTPRoute default/h RouteConflict']);
  });

  test('HTTPRouteObservedGenerationBump’s count: a route counts once at each listener that takes it', () => {
    const listeners = [listener('one', 'a.example'), listener('two', 'b.example')];
    const parentRefs = [{ name: 'gateway' }, { name: 'gateway', sectionName: 'one' }];
    const door = new Door({
      Gateway: [{ spec: { listeners } }],
      HTTPRoute: [
        { name: 'both', spec: { parentRefs, rules: [to('web')] } },
        { name: 'second', spec: { hostnames: ['b.example'], rules: [to('gone')] } },
      ],
    });
    const outcomes = door.routes.requests.map(({ route, parents }) =>
      parentOutcomes(route, parents, () => door.servers, door.lookups),
    );
    const counts = attachedRoutes(outcomes);
    assert.deepEqual(
      door.servers.map((server) => counts.get(serverKey(server))),
      [1, 2],
    );
  });

  for (const [kind, group] of [
    ['ListenerSet', 'gateway.networking.k8s.io'],
    ['XListenerSet', 'gateway.networking.x-k8s.io'],
  ] as const)
    test(`a route is attached to a ${kind} by its own name alone, not by that of the Gateway`, () => {
      const named = (name: string, parent: Readonly<Record<string, unknown>>) => ({
        name,
        spec: { parentRefs: [parent], rules: [to('web', under(`/${name}`))] },
      });
      const HTTPRoute = [named('gateway', { name: 'gateway' }), named('set', { group, kind, name: 'gateway' })];
      const { servers, routes, lookups } = new Door({ ...plain, HTTPRoute });
      const [server] = servers;
      assert.ok(server !== undefined);
      const ofSet = { ...server, kind, resource: `${kind} default/gateway` };
      const port = { number: 80, serves: { kind: 'http' as const, servers: [ofSet] } };
      const { serves } = routedPort({ port, routes, namespace: 'default' }, lookups);
      assert.ok(serves.kind === 'http');
      assert.deepEqual(serves.origins, ['HTTPRoute default/set']);
    });

  test('of gateways that are not ours nothing is said', () => {
    const door = new Door({
      ...plain,
      HTTPRoute: [{ spec: { parentRefs: [{ name: 'theirs' }], rules: [to('web')] } }],
    });
    const [attachable] = door.routes.requests;
    assert.ok(attachable !== undefined);
    assert.deepEqual(
      parentOutcomes(attachable.route, attachable.parents, () => null, door.lookups),
      [],
    );
    assert.equal(door.answer('any.example'), 404);
  });
});
