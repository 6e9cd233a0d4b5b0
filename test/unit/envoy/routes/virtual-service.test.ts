import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { virtualServiceSchema } from '../../../../src/config/manifests/schemas/virtual-service.ts';
import { defaultRetries } from '../../../../src/envoy/http-rules.ts';
import { convertVirtualService, virtualHosts } from '../../../../src/envoy/routes/virtual-service.ts';
import type { ConvertedVirtualService } from '../../../../src/envoy/routes/virtual-service.ts';
import { assertGolden } from '../../../support/envoy/goldens.ts';
import { lookups, read, waypointOf } from '../../../support/envoy/documents.ts';
import { port } from '../../../support/envoy/inputs.ts';

const mesh = lookups({ web: [80], other: [80, 81] });
const toWeb = [{ destination: { host: 'web' } }];

function convert(spec: Readonly<Record<string, unknown>>, number = 80): ConvertedVirtualService {
  return convertVirtualService(read(virtualServiceSchema, { hosts: ['web'], ...spec }), { number }, mesh);
}

function http(rule: Readonly<Record<string, unknown>>): ConvertedVirtualService {
  return convert({ http: [{ route: toWeb, ...rule }] });
}

function messages({ conditions }: ConvertedVirtualService): readonly string[] {
  return conditions.map(({ reason, message }) => `${reason} ${message}`);
}

void describe('a VirtualService', () => {
  test('becomes routes with every field of its requests', () => {
    const { rules, conditions } = convert({
      http: [
        {
          name: 'all',
          match: [
            {
              uri: { exact: '/A' },
              ignoreUriCase: true,
              scheme: { exact: 'http' },
              method: { regex: 'GET|HEAD' },
              authority: { prefix: 'web' },
              headers: { 'x-a': { exact: '1' }, 'x-b': { prefix: 'b' }, 'x-c': { regex: 'c+' }, 'x-d': {} },
              withoutHeaders: { 'x-e': { exact: '5' }, 'x-f': {} },
              queryParams: { q: { exact: '1' }, r: { regex: 'r+' } },
              sourceLabels: { app: 'cart', version: 'v1.2' },
              sourceNamespace: 'shop',
              statPrefix: 'all',
            },
            { uri: { prefix: '/b' } },
            { uri: { regex: '/c/[a-z]+' } },
          ],
          route: [
            { destination: { host: 'web', subset: 'v1' }, weight: 90, headers: { response: { set: { 'x-v': '1' } } } },
            { destination: { host: 'other.default.svc.cluster.local', port: { number: 81 } }, weight: 10 },
          ],
          rewrite: { uri: '/new', authority: 'new.example.com' },
          timeout: '1.5s',
          retries: {
            attempts: 4,
            perTryTimeout: '500ms',
            retryOn: '5xx, reset,503',
            retryIgnorePreviousHosts: false,
            backoff: '10ms',
          },
          fault: {
            delay: { percentage: { value: 0.5 }, fixedDelay: '2s' },
            abort: { percentage: { value: 12.5 }, httpStatus: 418 },
          },
          mirror: { host: 'other', port: { number: 80 } },
          mirrorPercentage: { value: 50 },
          mirrors: [{ destination: { host: 'web' }, percentage: { value: 1 } }],
          corsPolicy: {
            allowOrigin: ['*'],
            allowOrigins: [{ prefix: 'https://a' }],
            allowMethods: ['GET'],
            allowHeaders: ['x'],
            exposeHeaders: ['y'],
            maxAge: '1m',
            allowCredentials: true,
            unmatchedPreflights: 'IGNORE',
          },
          headers: { request: { set: { a: '1%' }, add: { b: '2' }, remove: ['c'] }, response: { remove: ['d'] } },
        },
        {
          match: [{ uri: { prefix: '/regex' } }],
          route: toWeb,
          rewrite: { uriRegexRewrite: { match: '^/regex/(.*)$', rewrite: '/\\1' } },
          fault: { abort: { grpcStatus: 'UNAVAILABLE' } },
        },
        { match: [{ uri: { exact: '/moved' } }], redirect: { uri: '/to', authority: 'b.example.com', port: 8080 } },
        {
          match: [{ uri: { prefix: '/part' } }],
          redirect: { uri: '%PREFIX()%/to', scheme: 'https', redirectCode: 308 },
        },
        { match: [{ uri: { prefix: '/text' } }], directResponse: { status: 503, body: { string: 'closed' } } },
        { directResponse: { status: 404, body: { bytes: Buffer.from('none').toString('base64') } } },
      ],
    });
    assert.deepEqual(conditions, []);
    assertGolden('virtual-service', waypointOf(port(80, 'http1', { rules }), ['other']));
  });

  test('becomes rules for connections, by name before any other', () => {
    const { connections, conditions } = convert({
      tcp: [{ route: [{ destination: { host: 'other', port: { number: 81 } }, weight: 100 }] }],
      tls: [
        {
          match: [{ sniHosts: ['web.example.com', '*.web.example.com'], port: 80 }],
          route: [
            { destination: { host: 'web' }, weight: 70 },
            { destination: { host: 'other', port: { number: 80 } }, weight: 30 },
          ],
        },
      ],
    });
    assert.deepEqual(conditions, []);
    assertGolden('virtual-service-connections', waypointOf(port(80, 'tls', { connections }), ['other']));
  });

  test('names short hosts in its own namespace', () => {
    const document = read(virtualServiceSchema, { hosts: ['web', 'a.example.com'] });
    assert.deepEqual(virtualHosts(document, 'cluster.local'), ['web.default.svc.cluster.local', 'a.example.com']);
  });

  test('says nothing at a waypoint where it names gateways alone', () => {
    const rule = { http: [{ route: toWeb }] };
    assert.equal(convert({ ...rule, gateways: ['default/public'] }).rules, null);
    assert.equal(convert({ ...rule, gateways: ['default/public', 'mesh'] }).rules?.length, 1);
  });

  test('leaves a port to itself of which it says nothing, since all is for another port or for gateways alone', () => {
    const match = [{ port: 81 }, { gateways: ['default/public'] }];
    assert.equal(http({ match }).rules, null);
    assert.equal(http({ match: [...match, { port: 80 }] }).rules?.length, 1);
    assert.equal(convert({ tcp: [{ match, route: toWeb }] }).connections, null);
    const named = match.map((each) => ({ ...each, sniHosts: ['web'] }));
    assert.equal(convert({ tls: [{ match: named, route: toWeb }] }).connections, null);
  });

  test('sends to the only port of a service, or to the one that was asked for', () => {
    const targets = (number: number) => {
      const [only] = convert({ http: [{ route: [{ destination: { host: 'other' } }] }] }, number).rules ?? [];
      assert.ok(only?.action.kind === 'forward');
      return only.action.targets[0]?.destination?.port;
    };
    assert.deepEqual([targets(80), targets(81)], [80, 81]);
  });

  test('tells of a destination that does not exist, and refuses its share', () => {
    const result = http({ route: [{ destination: { host: 'nobody' } }] });
    assert.match(messages(result)[0] ?? '', /^BackendNotFound spec\.http\[0\]\.route\[0\]\.destination: /);
    const action = result.rules?.[0]?.action;
    assert.ok(action?.kind === 'forward');
    assert.equal(action.targets[0]?.destination, null);
  });

  for (const [what, rule, field] of [
    ['a delay that grows', { fault: { delay: { exponentialDelay: '1s' } } }, 'fault.delay.exponentialDelay'],
    ['an error of HTTP/2', { fault: { abort: { http2Error: 'CANCEL' } } }, 'fault.abort.http2Error'],
    ['a status that gRPC has not', { fault: { abort: { grpcStatus: 'NICE' } } }, 'fault.abort.grpcStatus'],
    ['a pseudo-header', { headers: { request: { set: { ':path': '/' } } } }, 'headers.request'],
    ['a delay without a time', { fault: { delay: { percentage: { value: 1 } } } }, 'fault.delay'],
    ['an abort without a status', { fault: { abort: { percentage: { value: 1 } } } }, 'fault.abort'],
    ['a word for retries', { retries: { attempts: 1, retryOn: '5xx,often,600' } }, 'retries.retryOn'],
    [
      'a match of the method as a header',
      { match: [{ headers: { method: { exact: 'GET' } } }] },
      'match\\[0\\].headers.method',
    ],
  ] as const) {
    test(`tells that ${what} cannot be had`, () => {
      assert.match(
        messages(http(rule))[0] ?? '',
        new RegExp(`^UnsupportedValue spec\\.http\\[0\\]\\.${field.replaceAll('.', '\\.')}: `),
      );
    });
  }

  test('tells connections by where they come from and were meant to go', () => {
    const match = [
      { sourceLabels: { a: 'b' }, sourceNamespace: 'x', sourceSubnet: '10.1.2.3/8', destinationSubnets: ['::/0'] },
      { sourceSubnet: '10.9.0.9' },
    ];
    const { connections, conditions } = convert({ tcp: [{ match, route: toWeb }] });
    assert.deepEqual(conditions, []);
    assert.deepEqual(
      connections?.map(({ from }) => from),
      [
        { labels: new Map([['a', 'b']]), namespace: 'x', block: '10.0.0.0/8', destinations: ['::/0'] },
        { labels: new Map(), namespace: null, block: '10.9.0.9/32', destinations: [] },
      ],
    );
  });

  test('tries again what has reached nobody, unless it says zero', () => {
    const retriesOf = (rule: Readonly<Record<string, unknown>>) => {
      const action = http(rule).rules?.[0]?.action;
      assert.ok(action?.kind === 'forward');
      return action.retries;
    };
    assert.deepEqual(retriesOf({}), defaultRetries);
    assert.equal(retriesOf({ retries: { attempts: 0 } }), null);
  });

  test('waits as long as Envoy by itself between attempts where it says zero, which Envoy would refuse', () => {
    const action = http({ retries: { attempts: 1, backoff: '0s' } }).rules?.[0]?.action;
    assert.ok(action?.kind === 'forward');
    assert.equal(action.retries?.backoff, null);
  });

  test('sets the host by way of its header', () => {
    const action = http({ headers: { request: { set: { Host: 'b.example.com' } } } }).rules?.[0]?.action;
    assert.ok(action?.kind === 'forward');
    assert.equal(action.authority, 'b.example.com');
  });

  for (const [what, spec] of [
    ['two actions', { http: [{ route: toWeb, directResponse: { status: 200 } }] }],
    ['a match of two kinds', { http: [{ route: toWeb, match: [{ uri: { exact: '/', prefix: '/' } }] }] }],
    ['a field that is mistyped', { http: [{ route: toWeb, timeuot: '1s' }] }],
    ['a share beyond the whole', { http: [{ route: toWeb, mirrorPercentage: { value: 101 } }] }],
    ['a subnet that is none', { tcp: [{ match: [{ sourceSubnet: '10.0.0.0/33' }], route: toWeb }] }],
    ['a header that breaks its line', { http: [{ route: toWeb, headers: { request: { set: { a: 'b\r\nc: d' } } } }] }],
  ] as const) {
    test(`is refused with ${what}`, () => {
      assert.throws(() => read(virtualServiceSchema, { hosts: ['web'], ...spec }));
    });
  }
});
