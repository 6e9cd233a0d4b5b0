import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { authorizationPolicy } from '../../support/manifests.ts';
import { document, httpRoute, httpService } from '../../support/waypoint-mesh.ts';
import { WaypointRig } from '../../support/waypoint-rig.ts';
import { base } from './waypoint-derivation-shop.ts';

const gatewayGroup = 'gateway.networking.k8s.io';
const service = (name: string) => ({ group: '', kind: 'Service', name });
const gateway = (name: string) => ({ group: gatewayGroup, kind: 'Gateway', name });
const gatewayClass = (name: string) => ({ group: gatewayGroup, kind: 'GatewayClass', name });
const missing = (resource: string): string => `${resource}: WaypointAccepted/TargetNotFound`;

describe('a target that does not exist is told', () => {
  const rules = [{}];

  test('of a policy, until it exists', () => {
    const policy = 'AuthorizationPolicy shop/p';
    const rig = new WaypointRig(...base, authorizationPolicy('shop', 'p', { targetRefs: [service('srver')], rules }));
    assert.ok(rig.conditions.includes(missing(policy)));
    assert.match(rig.messageOf(policy), /there is no Service shop\/srver/);
    rig.set(httpService('shop', 'srver', '10.1.0.3'));
    assert.ok(!rig.conditions.includes(missing(policy)));
  });

  test('of tokens that are asked for at a Gateway', () => {
    const spec = { targetRefs: [gateway('waypont')], jwtRules: [{ issuer: 'me', jwks: '{"keys":[{}]}' }] };
    const rig = new WaypointRig(...base, document('security.istio.io/v1', 'RequestAuthentication', 'shop', 'p', spec));
    assert.ok(rig.conditions.includes(missing('RequestAuthentication shop/p')));
  });

  test('of limits for a route', () => {
    const targetRefs = [{ group: gatewayGroup, kind: 'HTTPRoute', name: 'r' }];
    const limits = [{ requests: 1, interval: '1s' }];
    const limit = document('ambit.dev/v1alpha1', 'RateLimitPolicy', 'shop', 'p', { targetRefs, limits });
    const rig = new WaypointRig(...base, limit);
    assert.ok(rig.conditions.includes(missing('RateLimitPolicy shop/p')));
    rig.set(httpRoute('shop', 'r', 'web', 'web'));
    assert.ok(!rig.conditions.includes(missing('RateLimitPolicy shop/p')));
  });

  test('of a GatewayClass, unless it is one of the mesh’s own', () => {
    const targetRefs = ['istio', 'istio-waypoint', 'istio-waypont'].map(gatewayClass);
    const rig = new WaypointRig(...base, authorizationPolicy('istio-system', 'p', { targetRefs, rules }));
    const told = rig.conditions.filter((text) => text === missing('AuthorizationPolicy istio-system/p'));
    assert.equal(told.length, 1);
    assert.match(rig.messageOf('AuthorizationPolicy istio-system/p'), /there is no GatewayClass istio-waypont:/);
  });

  test('and of targets that exist nothing', () => {
    const targetRefs = [service('web'), gateway('waypoint')];
    const rig = new WaypointRig(...base, authorizationPolicy('shop', 'p', { targetRefs, rules }));
    assert.ok(!rig.conditions.includes(missing('AuthorizationPolicy shop/p')));
  });
});
