import assert from 'node:assert/strict';
import { test } from 'node:test';

import { buildRoutes } from '../../../src/envoy/routes.ts';
import { joinedRoutes } from '../../../src/envoy/stand-in-routes.ts';
import type { RouteConfiguration } from '../../../src/proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { input, port, rule, service } from '../../support/envoy/inputs.ts';
import { rateLimits, securityOfWeb } from '../../support/envoy/security.ts';

const limited = securityOfWeb(
  [
    rateLimits(
      [{ requests: 1, interval: '1h' }],
      [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', name: 'slow' }],
    ),
  ],
  ['HTTPRoute default/slow'],
);
const rules = ['default/slow/0', 'default/fast/0'].map((name) => rule('web', 80, { name }));

function routesOf(given: { readonly security?: typeof limited } = {}): RouteConfiguration {
  const web = { ...service('web', '10.96.0.1', port(80, 'http1', { rules })), ...given };
  const [routes] = buildRoutes(input({ services: [web] }));
  assert.ok(routes !== undefined);
  return routes;
}

function marks(routes: RouteConfiguration): readonly unknown[] {
  return routes.virtualHosts.flatMap((host) =>
    host.routes.map(({ metadata }) => metadata?.filterMetadata['ambit']?.['route'] ?? null),
  );
}

test('routes of before are known to limits that are newer', () => {
  assert.deepEqual(marks(routesOf()), [null, null]);
  assert.deepEqual(marks(joinedRoutes(routesOf(), routesOf({ security: limited }))), ['default/slow', null]);
});

test('routes of before are no more limited by what limits them no longer', () => {
  assert.deepEqual(marks(joinedRoutes(routesOf({ security: limited }), routesOf())), [null, null]);
});
