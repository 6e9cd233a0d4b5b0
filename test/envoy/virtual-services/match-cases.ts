import { check } from '../../support/envoy/echo/case.ts';
import type { EchoCase, Wanted } from '../../support/envoy/echo/case.ts';
import { consumerOf, ports } from '../../support/envoy/echo/world.ts';
import { at, destinationRule, split, virtualService } from './documents.ts';

type Fields = Readonly<Record<string, unknown>>;
type Asked = Wanted | ((space: string) => Wanted);

/** A match by the requests that it holds for and those that it does not. */
function matching(
  name: string,
  match: Fields | ((space: string) => Fields),
  yes: readonly Asked[],
  no: readonly Asked[],
): EchoCase {
  return {
    name: `match by ${name}`,
    documents: (space) => [split(space, typeof match === 'function' ? match(space) : match)],
    checks: [
      ...yes.map((wanted) => check(wanted, { server: 'v2' })),
      ...no.map((wanted) => check(wanted, { server: 'v1' })),
    ],
  };
}

const paths = (...values: readonly string[]): readonly Wanted[] => values.map((path) => ({ path }));
const kind = (value: string): Wanted => ({ headers: { 'x-kind': value } });

/** Every field by which a VirtualService chooses among requests. */
const cases: readonly EchoCase[] = [
  matching('uri, exact', { uri: { exact: '/a' } }, paths('/a', '/a?b=c'), paths('/a/', '/ab', '/A')),
  matching('uri, prefix', { uri: { prefix: '/a' } }, paths('/a', '/ab', '/a/b'), paths('/', '/A')),
  matching('uri, regex', { uri: { regex: '/[a-c]+/x' } }, paths('/abc/x'), paths('/abc/x/y', '/d/x')),
  matching('ignoreUriCase', { uri: { prefix: '/a' }, ignoreUriCase: true }, paths('/a', '/A/b'), paths('/b')),
  matching('scheme', { scheme: { exact: 'http' } }, [{}], []),
  matching('another scheme', { scheme: { exact: 'https' } }, [], [{}]),
  matching('method', { method: { regex: 'PUT|POST' } }, [{ method: 'PUT' }, { method: 'POST' }], [{}]),
  matching('authority', { authority: { prefix: 'one.' } }, [{ headers: { host: 'one.example.com' } }], [{}]),
  matching('a header, exact', { headers: { 'x-kind': { exact: 'a' } } }, [kind('a')], [kind('ab'), {}]),
  matching('a header, prefix', { headers: { 'x-kind': { prefix: 'a' } } }, [kind('ab')], [kind('ba'), {}]),
  matching('a header, regex', { headers: { 'x-kind': { regex: '[0-9]+' } } }, [kind('12')], [kind('1a'), {}]),
  matching('a header, there at all', { headers: { 'x-kind': {} } }, [kind('any')], [{}]),
  matching('withoutHeaders', { withoutHeaders: { 'x-kind': { exact: 'a' } } }, [{}, kind('b')], [kind('a')]),
  matching('queryParams', { queryParams: { v: { exact: '2' } } }, paths('/?v=2'), paths('/?v=1', '/')),
  matching('queryParams, regex', { queryParams: { v: { regex: '[0-9]' } } }, paths('/?v=2'), paths('/?v=a')),
  matching('port', { port: ports.http }, [{}], []),
  matching(
    'sourceNamespace',
    (space) => ({ sourceNamespace: consumerOf(space) }),
    [(space) => ({ from: consumerOf(space) })],
    [{}],
  ),
  matching(
    'sourceLabels',
    { sourceLabels: { app: 'cart', version: 'v1.2' } },
    [{ labels: 'app=cart,tier=a,version=v1.2' }],
    [{ labels: 'app=cart' }, { labels: 'app=cart,version=v1x2' }, { labels: 'myapp=cart,version=v1.2' }, {}],
  ),
  matching('gateways', { gateways: ['mesh'], uri: { exact: '/a' } }, paths('/a'), paths('/')),
  matching('gateways that are others’', { gateways: ['default/public'], uri: { exact: '/a' } }, [], paths('/a')),
  matching(
    'all of several',
    { uri: { exact: '/a' }, method: { exact: 'PUT' } },
    [{ path: '/a', method: 'PUT' }],
    [{ path: '/a' }, { method: 'PUT' }],
  ),
  {
    name: 'a header by a name that is none is told',
    documents: (space) => [split(space, { uri: { prefix: '/a' }, headers: { method: { exact: 'PUT' } } })],
    checks: [check({ path: '/a' }, { server: 'v2' })],
    conditions: ['Accepted/UnsupportedValue'],
  },
  {
    name: 'a port of which no rule speaks is left to itself',
    documents: (space) => [
      virtualService(space, { http: [{ match: [{ port: ports.grpc }], directResponse: { status: 418 } }] }),
    ],
    checks: [check({}, { status: 200 })],
  },
  {
    name: 'what no rule matches is 404',
    documents: (space) => [virtualService(space, { http: [{ match: [{ uri: { exact: '/a' } }], route: [at('v1')] }] })],
    checks: [check({ path: '/a' }, { server: 'v1' }), check({ path: '/b' }, { status: 404 })],
  },
  {
    name: 'hosts that are written with a star',
    documents: (space) => [
      virtualService(space, { hosts: [`*.${space}.svc.cluster.local`], http: [{ route: [at('v2')] }] }),
    ],
    checks: [check({}, { server: 'v2' })],
  },
  {
    name: 'gateways without the mesh leave requests alone',
    documents: (space) => [
      virtualService(space, { gateways: ['default/public'], http: [{ directResponse: { status: 418 } }] }),
    ],
    checks: [check({}, { status: 200 })],
    conditions: ['Accepted/NoMatchingParent'],
  },
  {
    name: 'exportTo the own namespace',
    documents: (space) => [virtualService(space, { exportTo: ['.'], http: [{ directResponse: { status: 418 } }] })],
    checks: [check({}, { status: 418 })],
  },
  {
    name: 'exportTo others alone',
    documents: (space) => [
      virtualService(space, { exportTo: ['elsewhere'], http: [{ directResponse: { status: 418 } }] }),
    ],
    checks: [check({}, { status: 200 })],
  },
  {
    name: 'subsets',
    documents: (space) => [
      destinationRule(space, { subsets: [{ name: 'new', labels: { version: 'v2' } }] }),
      virtualService(space, { http: [{ route: [{ destination: { host: 'echo', subset: 'new' } }] }] }),
    ],
    checks: Array.from({ length: 6 }, () => check({}, { server: 'v2' })),
  },
  {
    name: 'subsets of a DestinationRule that is exported elsewhere are not there',
    documents: (space) => [
      destinationRule(space, { exportTo: ['elsewhere'], subsets: [{ name: 'new', labels: { version: 'v2' } }] }),
      virtualService(space, { http: [{ route: [{ destination: { host: 'echo', subset: 'new' } }] }] }),
    ],
    checks: [check({}, { status: 500 })],
  },
];

export { cases as matchCases };
