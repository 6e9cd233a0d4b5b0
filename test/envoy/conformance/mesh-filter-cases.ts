import type { Manifest } from '../../support/manifests.ts';
import { check } from '../../support/envoy/echo/case.ts';
import type { EchoCase } from '../../support/envoy/echo/case.ts';
import { fullPath, httpRoute, prefix, prefixPath, redirect, requestHeaders, rewrite, to } from './documents.ts';

/** Those of the profile MESH-HTTP that change requests, or answer them with another address. */
const cases: readonly EchoCase[] = [
  {
    name: 'MeshHTTPRouteRewritePath',
    documents: (space: string): readonly Manifest[] => {
      const modified = requestHeaders({
        set: { 'X-Header-Set': 'set-overwrites-values' },
        add: { 'X-Header-Add': 'header-val-1', 'X-Header-Add-Append': 'header-val-2' },
        remove: ['X-Header-Remove'],
      });
      const rule = (path: string, change: object, ...more: readonly object[]) => ({
        matches: [prefix(path)],
        filters: [rewrite({ path: change }), ...more],
        backendRefs: [to('v1')],
      });
      return [
        httpRoute(space, [
          rule('/prefix/one', prefixPath('/one')),
          rule('/strip-prefix', prefixPath('/')),
          rule('/full/one', fullPath('/one')),
          rule('/full/rewrite-path-and-modify-headers', fullPath('/test'), modified),
          rule('/prefix/rewrite-path-and-modify-headers', prefixPath('/prefix'), modified),
        ]),
      ];
    },
    checks: [
      check({ path: '/prefix/one/two' }, { path: '/one/two' }),
      check({ path: '/strip-prefix/three' }, { path: '/three' }),
      check({ path: '/strip-prefix' }, { path: '/' }),
      check({ path: '/full/one/two' }, { path: '/one' }),
      ...[
        ['/full/rewrite-path-and-modify-headers/test', '/test'],
        ['/prefix/rewrite-path-and-modify-headers/one', '/prefix/one'],
      ].map(([path = '', seen = '']) =>
        check(
          {
            path,
            headers: {
              'x-header-remove': 'remove-val',
              'x-header-add-append': 'append-val-1',
              'x-header-set': 'set-val',
            },
          },
          {
            path: seen,
            seen: {
              'x-header-add': 'header-val-1',
              'x-header-add-append': 'append-val-1,header-val-2',
              'x-header-set': 'set-overwrites-values',
              'x-header-remove': null,
            },
          },
        ),
      ),
    ],
  },
  headerModifier('MeshHTTPRouteRequestHeaderModifier', (path, filters) => ({
    matches: [prefix(path)],
    filters,
    backendRefs: [to('v1')],
  })),
  headerModifier('MeshHTTPRouteBackendRequestHeaderModifier', (path, filters) => ({
    matches: [prefix(path)],
    backendRefs: [to('v1', { filters })],
  })),
  ...redirectCases(),
];

type RuleOf = (
  path: string,
  filters: readonly Readonly<Record<string, unknown>>[],
) => Readonly<Record<string, unknown>>;

/** The same is asked of filters of a rule and of filters of its backend. */
function headerModifier(name: string, ruleOf: RuleOf): EchoCase {
  const rules = [
    ruleOf('/set', [requestHeaders({ set: { 'X-Header-Set': 'set-overwrites-values' } })]),
    ruleOf('/add', [requestHeaders({ add: { 'X-Header-Add': 'add-appends-values' } })]),
    ruleOf('/remove', [requestHeaders({ remove: ['X-Header-Remove'] })]),
    ruleOf('/multiple', [
      requestHeaders({
        set: { 'X-Header-Set-1': 'header-set-1', 'X-Header-Set-2': 'header-set-2' },
        add: { 'X-Header-Add-1': 'header-add-1', 'X-Header-Add-2': 'header-add-2', 'X-Header-Add-3': 'header-add-3' },
        remove: ['X-Header-Remove-1', 'X-Header-Remove-2'],
      }),
    ]),
    ruleOf('/case-insensitivity', [
      requestHeaders({
        set: { 'X-Header-Set': 'header-set' },
        add: { 'X-Header-Add': 'header-add' },
        remove: ['X-Header-Remove'],
      }),
    ]),
  ];
  const set = { 'x-header-set': 'set-overwrites-values', 'some-other-header': 'val' };
  return {
    name,
    documents: (space) => [httpRoute(space, rules)],
    checks: [
      check({ path: '/set', headers: { 'some-other-header': 'val' } }, { seen: set }),
      check({ path: '/set', headers: { 'some-other-header': 'val', 'x-header-set': 'other' } }, { seen: set }),
      check({ path: '/add' }, { seen: { 'x-header-add': 'add-appends-values' } }),
      check(
        { path: '/add', headers: { 'x-header-add': 'other' } },
        { seen: { 'x-header-add': 'other,add-appends-values' } },
      ),
      check({ path: '/remove', headers: { 'x-header-remove': 'val' } }, { seen: { 'x-header-remove': null } }),
      check(
        {
          path: '/multiple',
          headers: { 'x-header-set-2': 'old', 'x-header-add-2': 'old', 'x-header-remove-2': 'old', another: 'val' },
        },
        {
          seen: {
            'x-header-set-1': 'header-set-1',
            'x-header-set-2': 'header-set-2',
            'x-header-add-1': 'header-add-1',
            'x-header-add-2': 'old,header-add-2',
            'x-header-add-3': 'header-add-3',
            'x-header-remove-1': null,
            'x-header-remove-2': null,
            another: 'val',
          },
        },
      ),
      check(
        {
          path: '/case-insensitivity',
          headers: { 'x-header-set': 'old', 'x-header-add': 'old', 'x-header-remove': 'old' },
        },
        { seen: { 'x-header-set': 'header-set', 'x-header-add': 'old,header-add', 'x-header-remove': null } },
      ),
    ],
  };
}

/** [path, what is asked, status, location] */
type Redirect = readonly [string, Readonly<Record<string, unknown>>, number, string];

function redirectCases(): readonly EchoCase[] {
  const host = { hostname: 'example.org' };
  const permanently = { statusCode: 301 };
  const cases: Readonly<Record<string, readonly Redirect[]>> = {
    MeshHTTPRouteRedirectHostAndStatus: [
      ['/hostname-redirect', host, 302, 'http://example.org/hostname-redirect'],
      ['/host-and-status', { ...host, ...permanently }, 301, 'http://example.org/host-and-status'],
    ],
    MeshHTTPRoute303Redirect: [['/see-other', { statusCode: 303 }, 303, 'http://echo/see-other']],
    MeshHTTPRoute307Redirect: [['/temporary', { statusCode: 307 }, 307, 'http://echo/temporary']],
    MeshHTTPRoute308Redirect: [['/permanent', { statusCode: 308 }, 308, 'http://echo/permanent']],
    MeshHTTPRouteRedirectPath: [
      ['/original-prefix', { path: prefixPath('/replacement-prefix') }, 302, 'http://echo/replacement-prefix'],
      ['/full', { path: fullPath('/full-path-replacement') }, 302, 'http://echo/full-path-replacement'],
      ['/path-and-host', { ...host, path: prefixPath('/new-prefix') }, 302, 'http://example.org/new-prefix'],
      ['/path-and-status', { ...permanently, path: prefixPath('/new-prefix') }, 301, 'http://echo/new-prefix'],
      ['/full-path-and-host', { ...host, path: fullPath('/new-full') }, 302, 'http://example.org/new-full'],
      ['/full-path-and-status', { ...permanently, path: fullPath('/new-full') }, 301, 'http://echo/new-full'],
    ],
    MeshHTTPRouteRedirectPort: [
      ['/port', { port: 8083 }, 302, 'http://echo:8083/port'],
      ['/port-and-host', { ...host, port: 8083 }, 302, 'http://example.org:8083/port-and-host'],
      ['/port-and-status', { ...permanently, port: 8083 }, 301, 'http://echo:8083/port-and-status'],
    ],
    MeshHTTPRouteSchemeRedirect: [
      ['/scheme', { scheme: 'https' }, 302, 'https://echo/scheme'],
      ['/scheme-and-host', { ...host, scheme: 'https' }, 302, 'https://example.org/scheme-and-host'],
      ['/scheme-and-status', { ...permanently, scheme: 'https' }, 301, 'https://echo/scheme-and-status'],
    ],
  };
  return Object.entries(cases).map(([name, redirects]) => ({
    name,
    documents: (space) => [
      httpRoute(
        space,
        redirects.map(([path, asked]) => ({ matches: [prefix(path)], filters: [redirect(asked)] })),
      ),
    ],
    checks: redirects.map(([path, , status, location]) => check({ path }, { status, headers: { location } })),
  }));
}

export { cases as meshFilterCases };
