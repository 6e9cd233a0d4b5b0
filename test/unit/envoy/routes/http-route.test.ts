import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { httpRouteSchema } from '../../../../src/config/manifests/schemas/http-route.ts';
import { convertHttpRoute } from '../../../../src/envoy/routes/http-route.ts';
import { atPort } from '../../../../src/envoy/routes/own-port.ts';
import { isAttached } from '../../../../src/envoy/routes/parents.ts';
import { mergeRoutes } from '../../../../src/envoy/routes/precedence.ts';
import type { ConvertedRoute } from '../../../../src/envoy/routes/precedence.ts';
import { assertGolden } from '../../../support/envoy/goldens.ts';
import { lookups, read, waypointOf } from '../../../support/envoy/documents.ts';
import { port, rule } from '../../../support/envoy/inputs.ts';

const mesh = lookups({ web: [80], other: [80], 'away/far': [80] });
const otherwise = rule('web', 80);
const web = { name: 'web', port: 80 };

function convert(spec: unknown, metadata: Readonly<Record<string, unknown>> = {}): ConvertedRoute {
  return convertHttpRoute(read(httpRouteSchema, spec, metadata), mesh);
}

function rulesOf(...routes: readonly ConvertedRoute[]) {
  return mergeRoutes(routes, 'default', [otherwise]).rules;
}

function messages({ conditions }: ConvertedRoute): readonly string[] {
  return conditions.map(({ type, reason, message }) => `${type}/${reason} ${message}`);
}

void describe('an HTTPRoute', () => {
  test('becomes routes for every match, filter and time limit', () => {
    const { rules, conditions } = convert({
      rules: [
        {
          name: 'all',
          matches: [
            { path: { type: 'Exact', value: '/exact' }, method: 'POST' },
            {
              path: { type: 'RegularExpression', value: '/r[0-9]+' },
              headers: [{ name: 'X-Kind', value: 'a.*', type: 'RegularExpression' }],
            },
            { path: { value: '/prefix' }, queryParams: [{ name: 'q', value: '1' }] },
          ],
          filters: [
            {
              type: 'RequestHeaderModifier',
              requestHeaderModifier: {
                set: [{ name: 'a', value: '100%' }],
                add: [{ name: 'b', value: '2' }],
                remove: ['c'],
              },
            },
            { type: 'ResponseHeaderModifier', responseHeaderModifier: { add: [{ name: 'd', value: '4' }] } },
            { type: 'RequestMirror', requestMirror: { backendRef: { name: 'other', port: 80 }, percent: 25 } },
            {
              type: 'RequestMirror',
              requestMirror: { backendRef: { name: 'other', port: 80 }, fraction: { numerator: 1, denominator: 3 } },
            },
            {
              type: 'URLRewrite',
              urlRewrite: {
                hostname: 'b.example.com',
                path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/new' },
              },
            },
            {
              type: 'CORS',
              cors: {
                allowOrigins: ['https://*.example.com', 'https://a.example.com'],
                allowMethods: ['GET'],
                allowHeaders: ['x'],
                exposeHeaders: ['y'],
                maxAge: 60,
                allowCredentials: true,
              },
            },
          ],
          backendRefs: [
            {
              ...web,
              weight: 90,
              filters: [
                { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-v', value: '1' }] } },
              ],
            },
            { name: 'other', port: 80, weight: 10 },
          ],
          timeouts: { request: '10s', backendRequest: '1s500ms' },
          retry: { attempts: 4, codes: [500, 503], backoff: '100ms' },
        },
        {
          matches: [{ path: { value: '/gone' } }],
          filters: [
            {
              type: 'RequestRedirect',
              requestRedirect: {
                scheme: 'https',
                hostname: 'c.example.com',
                port: 8443,
                statusCode: 301,
                path: { type: 'ReplaceFullPath', replaceFullPath: '/here' },
              },
            },
          ],
        },
        {
          matches: [{ path: { value: '/moved/' } }],
          filters: [
            {
              type: 'RequestRedirect',
              requestRedirect: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } },
            },
          ],
        },
        {
          matches: [{ path: { value: '/cut' } }],
          filters: [
            { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } } },
          ],
          backendRefs: [web],
        },
        {
          matches: [{ path: { value: '/one' } }],
          filters: [{ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplaceFullPath', replaceFullPath: '/1' } } }],
          backendRefs: [web],
        },
        {
          filters: [
            { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/all' } } },
          ],
          backendRefs: [web],
        },
      ],
    });
    assert.deepEqual(conditions, []);
    const merged = mergeRoutes([{ ...convert({}), rules }], 'default', [otherwise]).rules;
    assertGolden('http-route', waypointOf(port(80, 'http1', { rules: merged }), ['other']));
  });

  test('puts the more specific match first, whatever the order in which they are written', () => {
    const paths = [
      { path: { value: '/' } },
      { path: { value: '/long/prefix' } },
      { path: { value: '/long' }, headers: [{ name: 'a', value: '1' }] },
      { path: { value: '/long' }, method: 'GET' },
      { path: { value: '/long' }, queryParams: [{ name: 'a', value: '1' }] },
      { path: { value: '/long' } },
      { path: { type: 'Exact', value: '/x' } },
    ];
    const route = convert({
      rules: paths.map((match, index) => ({ name: String(index), matches: [match], backendRefs: [web] })),
    });
    assert.deepEqual(
      rulesOf(route).map(({ name }) => name.split('/')[2]),
      ['6', '1', '3', '2', '4', '5', '0'],
    );
  });

  test('comes before an equal one that is younger, then by its name', () => {
    const at = (name: string, creationTimestamp: string) =>
      convert({ rules: [{ backendRefs: [web] }] }, { name, creationTimestamp });
    const routes = [at('c', '2026-01-02T00:00:00Z'), at('b', '2026-01-02T00:00:00Z'), at('z', '2026-01-01T00:00:00Z')];
    assert.deepEqual(
      rulesOf(...routes).map(({ name }) => name),
      ['default/z/0', 'default/b/0', 'default/c/0'],
    );
  });

  test('of a client’s own namespace counts there alone, and there instead of the service’s', () => {
    const producer = convert({ rules: [{ backendRefs: [web] }] });
    const consumer = convert(
      { rules: [{ matches: [{ path: { value: '/a' } }], backendRefs: [{ ...web, namespace: 'away' }] }] },
      { namespace: 'away' },
    );
    assert.deepEqual(
      rulesOf(producer, consumer).map(({ name, match, action }) => [name, match.sourceNamespace, action.kind]),
      [
        ['away/route/0', 'away', 'forward'],
        ['away/none', 'away', 'respond'],
        ['default/route/0', null, 'forward'],
      ],
    );
    assert.deepEqual(rulesOf(consumer).at(-1), otherwise);
  });

  test('gives way to an older route of another kind on its port', () => {
    const old: ConvertedRoute = { ...convert({}, { creationTimestamp: '2020-01-01T00:00:00Z' }), kind: 'GRPCRoute' };
    const young = convert({}, { name: 'young', creationTimestamp: '2026-01-01T00:00:00Z' });
    const { conditions } = mergeRoutes([young, old], 'default', [otherwise]);
    assert.deepEqual(
      conditions.map(({ resource, reason }) => [resource, reason]),
      [['HTTPRoute default/young', 'RouteConflict']],
    );
  });

  test('gives way to no route of another namespace, however old that is', () => {
    const metadata = { name: 'old', namespace: 'away', creationTimestamp: '2020-01-01T00:00:00Z' };
    const old: ConvertedRoute = { ...convert({ rules: [{}] }, metadata), kind: 'GRPCRoute' };
    const own = convert({ rules: [{ backendRefs: [web] }] }, { creationTimestamp: '2026-01-01T00:00:00Z' });
    const { rules, conditions } = mergeRoutes([own, old], 'default', [otherwise]);
    assert.deepEqual(conditions, []);
    assert.deepEqual(rules.at(-1), own.rules[0]?.rule);
  });

  for (const [what, backend, reason] of [
    ['of another kind', { ...web, kind: 'Bucket', group: 'example.com' }, 'InvalidKind'],
    ['that does not exist', { name: 'nobody', port: 80 }, 'BackendNotFound'],
    ['at a port that it has not', { name: 'web', port: 81 }, 'BackendNotFound'],
    ['without a port', { name: 'web' }, 'UnsupportedValue'],
    ['of another namespace without a grant', { name: 'far', namespace: 'away', port: 80 }, 'RefNotPermitted'],
  ] as const) {
    test(`tells of a backend ${what}, and refuses its share`, () => {
      const route = convert({ rules: [{ backendRefs: [backend] }] });
      assert.match(
        messages(route)[0] ?? '',
        new RegExp(`^ResolvedRefs/${reason} spec\\.rules\\[0\\]\\.backendRefs\\[0\\]: `),
      );
      const [{ rule: only } = { rule: null }] = route.rules;
      assert.ok(only?.action.kind === 'forward');
      assert.deepEqual(
        only.action.targets.map((target) => target.destination),
        [null],
      );
    });
  }

  test('needs no grant to send to the one service that it is attached to, and one where there are two', () => {
    const far = { group: '', kind: 'Service', namespace: 'away', name: 'far' };
    const rules = [{ backendRefs: [{ namespace: 'away', name: 'far', port: 80 }] }];
    assert.deepEqual(convert({ parentRefs: [far], rules }).conditions, []);
    const { conditions } = convert({ parentRefs: [far, { ...far, name: 'other' }], rules });
    assert.deepEqual(
      conditions.map(({ reason }) => reason),
      ['RefNotPermitted'],
    );
  });

  test('is refused its parent’s other ports', () => {
    const far = { group: '', kind: 'Service', namespace: 'away', name: 'far' };
    const route = convert({
      parentRefs: [far],
      rules: [{ backendRefs: [{ namespace: 'away', name: 'far', port: 80 }] }],
    });
    assert.deepEqual(atPort(route, 80), { route, conditions: [] });
    const { route: elsewhere, conditions } = atPort(route, 81);
    const action = elsewhere.rules[0]?.rule.action;
    assert.ok(action?.kind === 'forward');
    assert.equal(action.targets[0]?.destination, null);
    assert.deepEqual(
      conditions.map(({ type, reason }) => [type, reason]),
      [['ResolvedRefs', 'RefNotPermitted']],
    );
  });

  for (const [what, rule] of [
    [
      'another path',
      {
        filters: [{ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplaceFullPath', replaceFullPath: '/admin' } } }],
      },
    ],
    ['another host', { filters: [{ type: 'URLRewrite', urlRewrite: { hostname: 'admin.example.com' } }] }],
    ['other headers', { filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { remove: ['x-guest'] } }] }],
    [
      'other headers for one backend',
      {
        ofBackend: [
          { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-admin', value: '1' }] } },
        ],
      },
    ],
  ] as const) {
    test(`is refused its parent with ${what} than what the parent’s policies have looked at`, () => {
      const far = { group: '', kind: 'Service', namespace: 'away', name: 'far' };
      const { ofBackend = [], ...given } = rule as { readonly ofBackend?: readonly unknown[] };
      const backendRefs = [{ namespace: 'away', name: 'far', port: 80, filters: ofBackend }];
      const changed = atPort(convert({ parentRefs: [far], rules: [{ ...given, backendRefs }] }), 80);
      const action = changed.route.rules[0]?.rule.action;
      assert.ok(action?.kind === 'forward');
      assert.equal(action.targets[0]?.destination, null);
      assert.deepEqual(
        changed.conditions.map(({ reason }) => reason),
        ['RefNotPermitted'],
      );
    });
  }

  test('tells that it is attached to no Gateway that it does not name', () => {
    const [told] = messages(convert({ useDefaultGateways: 'All', rules: [{ backendRefs: [web] }] }));
    assert.match(told ?? '', /^Accepted\/UnsupportedValue spec\.useDefaultGateways: /);
  });

  test('sends to another namespace that grants it', () => {
    const route = convertHttpRoute(
      read(httpRouteSchema, { rules: [{ backendRefs: [{ name: 'far', namespace: 'away', port: 80 }] }] }),
      lookups({ 'away/far': [80] }, true),
    );
    assert.deepEqual(route.conditions, []);
  });

  for (const [what, spec, expected] of [
    [
      'an extension',
      { filters: [{ type: 'ExtensionRef', extensionRef: { group: 'a', kind: 'B', name: 'c' } }] },
      /spec\.rules\[0\]\.filters\[0\]: ExtensionRef/,
    ],
    ['external authorization', { filters: [{ type: 'ExternalAuth', externalAuth: {} }] }, /filters\[0\]: ExternalAuth/],
    [
      'redirect and rewrite at once',
      {
        filters: [
          { type: 'RequestRedirect', requestRedirect: {} },
          { type: 'URLRewrite', urlRewrite: { hostname: 'a' } },
        ],
      },
      /IncompatibleFilters spec\.rules\[0\]\.filters/,
    ],
  ] as const) {
    test(`with ${what} answers 500 and tells it`, () => {
      const route = convert({ rules: [{ ...spec, backendRefs: [web] }] });
      assert.match(messages(route)[0] ?? '', expected);
      assert.deepEqual(route.rules[0]?.rule.action, { kind: 'respond', status: 500, body: null });
    });
  }

  test('tells of what one backend cannot have of its own', () => {
    const route = convert({
      rules: [{ backendRefs: [{ ...web, filters: [{ type: 'URLRewrite', urlRewrite: { hostname: 'a' } }] }] }],
    });
    assert.match(messages(route)[0] ?? '', /spec\.rules\[0\]\.backendRefs\[0\]\.filters: .* 500/);
  });

  test('tells that hostnames and session persistence mean nothing here', () => {
    const rules = [{ sessionPersistence: {}, backendRefs: [web] }];
    const parentRefs = [{ group: '', kind: 'Service', name: 'web' }, { name: 'front' }];
    const route = convert({ parentRefs, hostnames: ['a.example.com'], rules });
    assert.deepEqual(
      messages(route).map((message) => message.split(':')[0]),
      ['Accepted/UnsupportedValue spec.hostnames', 'Accepted/UnsupportedValue spec.rules[0].sessionPersistence'],
    );
    assert.deepEqual(
      route.conditions.map(({ parent }) => parent),
      ['Service default/web', undefined],
    );
  });

  for (const hostname of ['a.*.example', 'a.example:80', '*', 'a b', '.example', `${'a.'.repeat(126)}example`])
    test(`is refused with the hostname ${hostname.slice(0, 20)}, which Envoy would not take`, () => {
      assert.throws(() => read(httpRouteSchema, { hostnames: [hostname] }), /name of one host/);
    });

  test('has its hostnames in lower case', () => {
    assert.deepEqual(convert({ hostnames: ['*.A.Example'] }).hostnames, ['*.a.example']);
  });

  test('is attached to a port by its number, its name, or with its whole service', () => {
    const to = { group: '', kind: 'Service', namespace: 'default', name: 'web', port: 80, portName: 'http' };
    const attached = (parent: unknown) =>
      isAttached(read(httpRouteSchema, { parentRefs: [parent] }).spec.parentRefs, 'default', to);
    const service = { group: '', kind: 'Service', name: 'web' };
    assert.ok(attached(service));
    assert.ok(attached({ ...service, group: 'core', port: 80, namespace: 'default' }));
    assert.ok(attached({ ...service, sectionName: 'http' }));
    assert.ok(!attached({ ...service, port: 81 }));
    assert.ok(!attached({ ...service, namespace: 'away' }));
    assert.ok(!attached({ name: 'web' }));
  });

  for (const [what, spec] of [
    ['a path with a query', { rules: [{ matches: [{ path: { value: '/a?b' } }] }] }],
    ['a field that is mistyped', { rules: [{ backendRef: [] }] }],
    ['a time limit with a fraction', { rules: [{ timeouts: { request: '1.5s' } }] }],
    [
      'a share beyond the whole',
      {
        rules: [
          { filters: [{ type: 'RequestMirror', requestMirror: { backendRef: web, fraction: { numerator: 101 } } }] },
        ],
      },
    ],
    [
      'a header that breaks its line',
      {
        rules: [
          {
            filters: [
              { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'a', value: 'b\r\nc: d' }] } },
            ],
          },
        ],
      },
    ],
    ['a filter of no kind', { rules: [{ filters: [{ type: 'Magic' }] }] }],
  ] as const) {
    test(`is refused with ${what}`, () => {
      assert.throws(() => read(httpRouteSchema, spec));
    });
  }
});
