import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { tcpRouteSchema, tlsRouteSchema } from '../../../../src/config/manifests/schemas/connection-routes.ts';
import { grpcRouteSchema } from '../../../../src/config/manifests/schemas/grpc-route.ts';
import { convertGrpcRoute } from '../../../../src/envoy/routes/grpc-route.ts';
import { mergeConnectionRoutes, mergeRoutes } from '../../../../src/envoy/routes/precedence.ts';
import { convertTcpRoute } from '../../../../src/envoy/routes/tcp-route.ts';
import { convertTlsRoute } from '../../../../src/envoy/routes/tls-route.ts';
import { assertGolden } from '../../../support/envoy/goldens.ts';
import { lookups, read, waypointOf } from '../../../support/envoy/documents.ts';
import { port, rule } from '../../../support/envoy/inputs.ts';

const mesh = lookups({ web: [80], other: [80] });
const web = { name: 'web', port: 80 };
const other = { name: 'other', port: 80 };

void describe('a GRPCRoute', () => {
  test('becomes routes for services and methods, the most specific first', () => {
    const route = convertGrpcRoute(
      read(grpcRouteSchema, {
        rules: [
          { name: 'any', backendRefs: [web] },
          { name: 'service', matches: [{ method: { service: 'shop.v1.Cart' } }], backendRefs: [other] },
          {
            name: 'method',
            matches: [{ method: { service: 'shop.v1.Cart', method: 'Add' }, headers: [{ name: 'x', value: '1' }] }],
            filters: [
              { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'a', value: '1' }] } },
              { type: 'RequestMirror', requestMirror: { backendRef: other } },
            ],
            backendRefs: [
              { ...web, weight: 3 },
              { ...other, weight: 1 },
            ],
          },
          { name: 'every', matches: [{ method: { method: 'Watch' } }], backendRefs: [web] },
          { name: 'regex', matches: [{ method: { type: 'RegularExpression', service: 'a.*' } }], backendRefs: [web] },
        ],
      }),
      mesh,
    );
    assert.deepEqual(route.conditions, []);
    const { rules } = mergeRoutes([route], 'default', [rule('web', 80)]);
    assert.deepEqual(
      rules.map(({ name }) => name.split('/')[2]),
      ['method', 'service', 'regex', 'every', 'any'],
    );
    assertGolden('grpc-route', waypointOf(port(80, 'grpc', { rules }), ['other']));
  });

  test('tells calls of a broken rule that nobody is there', () => {
    const route = convertGrpcRoute(
      read(grpcRouteSchema, {
        rules: [
          {
            filters: [{ type: 'ExtensionRef', extensionRef: { group: 'a', kind: 'B', name: 'c' } }],
            backendRefs: [web],
          },
        ],
      }),
      mesh,
    );
    const action = route.rules[0]?.rule.action;
    assert.ok(action?.kind === 'forward');
    assert.deepEqual([action.targets, action.missing], [[], 503]);
    assert.equal(route.conditions.length, 1);
  });

  for (const method of [{}, { service: 'a/b' }, { service: 'a', method: 'b.c' }]) {
    test(`is refused with the method ${JSON.stringify(method)}`, () => {
      assert.throws(() => read(grpcRouteSchema, { rules: [{ matches: [{ method }] }] }));
    });
  }
});

void describe('a TLSRoute and a TCPRoute', () => {
  const tls = (hostnames: readonly string[], backend: unknown, name: string) =>
    convertTlsRoute(read(tlsRouteSchema, { hostnames, rules: [{ backendRefs: [backend] }] }, { name }), mesh);
  const tcp = (backendRefs: readonly unknown[], metadata = {}) =>
    convertTcpRoute(read(tcpRouteSchema, { rules: [{ backendRefs }] }, metadata), mesh);

  test('choose by name, the most exact first, and then whatever is left', () => {
    const { rules } = mergeConnectionRoutes(
      [
        tcp([
          { ...web, weight: 1 },
          { ...other, weight: 2 },
        ]),
        tls(['*.example.com', 'A.example.com'], web, 'names'),
        tls(['*.b.example.com'], other, 'deep'),
      ],
      'default',
    );
    assert.deepEqual(
      rules?.map(({ serverNames }) => serverNames[0]),
      ['a.example.com', '*.b.example.com', '*.example.com', undefined],
    );
    assertGolden('connection-routes', waypointOf(port(80, 'tls', { connections: rules }), ['other']));
  });

  test('close the share of what does not exist', () => {
    const route = tcp([{ name: 'nobody', port: 80 }]);
    assert.deepEqual(route.rules[0]?.targets, [{ destination: null, weight: 1 }]);
    assert.deepEqual(
      route.conditions.map(({ reason }) => reason),
      ['BackendNotFound'],
    );
  });

  test('count only in the namespace of the service', () => {
    const { rules, conditions } = mergeConnectionRoutes([tcp([web], { namespace: 'away' })], 'default');
    assert.equal(rules, null);
    assert.deepEqual(
      conditions.map(({ reason }) => reason),
      ['NotAllowedByParent'],
    );
  });

  test('tell of rules that can never count', () => {
    const spec = { rules: [{ backendRefs: [web] }, { backendRefs: [other] }] };
    assert.match(convertTcpRoute(read(tcpRouteSchema, spec), mesh).conditions[0]?.message ?? '', /^spec\.rules: /);
    const named = { ...spec, hostnames: ['a.example.com'] };
    assert.match(convertTlsRoute(read(tlsRouteSchema, named), mesh).conditions[0]?.message ?? '', /^spec\.rules: /);
  });
});
