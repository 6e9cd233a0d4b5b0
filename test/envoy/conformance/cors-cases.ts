import { check } from '../../support/envoy/echo/case.ts';
import type { Check, EchoCase, Expected } from '../../support/envoy/echo/case.ts';
import { httpRoute, prefix, to } from './documents.ts';

const foo = 'https://www.foo.com';
const other = 'https://other.foo.com';

type Fields = Readonly<Record<string, unknown>>;

const allowed = (name: string) => `access-control-allow-${name}`;

function preflight(path: string, origin: string, method: string, expect: Expected['headers']): Check {
  const headers = {
    origin,
    'access-control-request-method': method,
    'access-control-request-headers': 'x-header-1, x-header-2',
  };
  return check({ path, method: 'OPTIONS', headers }, expect === undefined ? {} : { headers: expect });
}

function simple(path: string, origin: string, expect: NonNullable<Expected['headers']>): Check {
  return check({ path, headers: { origin, authorization: 'Bearer test' } }, { headers: expect });
}

function rule(path: string, cors: Fields): Fields {
  return { matches: [prefix(path)], filters: [{ type: 'CORS', cors }], backendRefs: [to('v1')] };
}

const cases: readonly EchoCase[] = [
  {
    name: 'HTTPRouteCORS',
    documents: (space) => [
      httpRoute(space, [
        rule('/listed', {
          allowOrigins: [foo, 'https://*.bar.com'],
          allowMethods: ['GET', 'OPTIONS'],
          allowHeaders: ['x-header-1', 'x-header-2'],
          exposeHeaders: ['x-header-3', 'x-header-4'],
          allowCredentials: true,
          maxAge: 3600,
        }),
        rule('/any-method', { allowOrigins: [foo], allowMethods: ['*'] }),
        rule('/any-origin', { allowOrigins: ['*'], allowMethods: ['PUT'] }),
        rule('/anything', { allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'], allowCredentials: true }),
        rule('/anything-unauthorized', { allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'] }),
      ]),
    ],
    checks: [
      ...[foo, 'https://www.bar.com', 'https://xpto.www.bar.com'].map((origin) =>
        preflight('/listed', origin, 'GET', {
          [allowed('origin')]: origin,
          [allowed('methods')]: 'GET,OPTIONS',
          [allowed('headers')]: 'x-header-1,x-header-2',
          'access-control-max-age': '3600',
          [allowed('credentials')]: 'true',
        }),
      ),
      preflight('/listed', 'https://foobar.com', 'GET', { [allowed('origin')]: null }),
      simple('/listed', foo, { [allowed('origin')]: foo, 'access-control-expose-headers': 'x-header-3,x-header-4' }),
      simple('/listed', 'https://foobar.com', { [allowed('origin')]: null }),
      preflight('/any-method', foo, 'POST', { [allowed('origin')]: foo, [allowed('credentials')]: null }),
      ...['https://foobar.com', 'https://foobar.com:12345'].map((origin) =>
        preflight('/any-origin', origin, 'PUT', { [allowed('origin')]: origin, [allowed('methods')]: 'PUT' }),
      ),
      simple('/any-origin', 'https://foobar.com:12345', { [allowed('origin')]: 'https://foobar.com:12345' }),
      // A star says nothing to a client that sends credentials: it is told what it has asked for.
      preflight('/anything', other, 'PUT', {
        [allowed('origin')]: other,
        [allowed('methods')]: 'PUT',
        [allowed('headers')]: 'x-header-1, x-header-2',
        [allowed('credentials')]: 'true',
      }),
      simple('/anything', other, { [allowed('origin')]: other, [allowed('credentials')]: 'true' }),
      preflight('/anything-unauthorized', other, 'PUT', {
        [allowed('origin')]: other,
        [allowed('credentials')]: null,
      }),
      simple('/anything-unauthorized', other, { [allowed('origin')]: other, [allowed('credentials')]: null }),
    ],
  },
  {
    name: 'HTTPRouteCORSAllowCredentialsBehavior',
    documents: (space) => [
      httpRoute(space, [
        rule('/without', { allowOrigins: ['https://app.example'], allowCredentials: false }),
        rule('/with', { allowOrigins: ['https://app.example'], allowCredentials: true }),
      ]),
    ],
    checks: [
      simple('/without', 'https://app.example', { [allowed('credentials')]: null }),
      simple('/with', 'http://not-app.example', { [allowed('credentials')]: null }),
      simple('/with', 'https://app.example', {
        [allowed('credentials')]: 'true',
        [allowed('origin')]: 'https://app.example',
      }),
    ],
  },
];

export { cases as corsCases };
