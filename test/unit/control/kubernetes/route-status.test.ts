import assert from 'node:assert/strict';
import { test } from 'node:test';

import { routeParents } from '../../../../src/control/kubernetes/route-status.ts';
import type { ParentStatus, RouteObject } from '../../../../src/control/kubernetes/route-status.ts';
import type { ApiCondition } from '../../../../src/control/kubernetes/status-writer.ts';

const service = { group: '', kind: 'Service', name: 'web' };
const gateway = { name: 'front' };
const unresolved: ApiCondition = { type: 'ResolvedRefs', status: 'False', reason: 'BackendNotFound', message: 'x' };
const theirs: ParentStatus = { parentRef: gateway, controllerName: 'example.com/gateway', conditions: [] };

function route(
  parents: readonly ParentStatus[] = [],
  parentRefs: readonly { readonly name: string }[] = [service],
): RouteObject {
  return { metadata: { generation: 3 }, spec: { parentRefs }, status: { parents } };
}

function conditionsOf(parents: readonly ParentStatus[] | null): readonly string[] {
  return (parents ?? []).flatMap(({ conditions }) => (conditions ?? []).map(({ type, status }) => `${type} ${status}`));
}

test('a route without a note is accepted by each of its services, and its references are resolved', () => {
  const parents = routeParents(route(), [], 0);
  assert.deepEqual(conditionsOf(parents), ['Accepted True', 'ResolvedRefs True']);
  assert.deepEqual(parents?.[0]?.parentRef, service);
  assert.equal(parents[0].conditions?.[0]?.observedGeneration, 3);
});

test('what is noted of a route stands with its services', () => {
  assert.deepEqual(conditionsOf(routeParents(route(), [unresolved], 0)), ['Accepted True', 'ResolvedRefs False']);
});

test('what others say stays, and of gateways nothing is said', () => {
  const parents = routeParents(route([theirs], [service, gateway]), [], 0);
  assert.deepEqual(
    parents?.map(({ controllerName }) => controllerName),
    [theirs.controllerName, 'istio.io/mesh-controller'],
  );
});

const atGateway: ApiCondition = {
  type: 'Accepted',
  status: 'True',
  reason: 'Accepted',
  message: 'attached to http',
  parent: 'Gateway shop/front',
};

function inShop(parentRefs: readonly { readonly name: string }[]): RouteObject {
  return { metadata: { namespace: 'shop' }, spec: { parentRefs } };
}

test('a gateway of which something is said has an entry of its own, by the controller of gateways', () => {
  const parents = routeParents(inShop([service, gateway]), [atGateway, unresolved], 0) ?? [];
  assert.deepEqual(
    parents.map(({ parentRef, controllerName, conditions }) => [
      parentRef.name,
      controllerName,
      (conditions ?? []).map(({ type, status, message }) => `${type} ${status} ${message}`),
    ]),
    [
      ['web', 'istio.io/mesh-controller', ['Accepted True in force as it is written', 'ResolvedRefs False x']],
      ['front', 'istio.io/gateway-controller', ['Accepted True attached to http', 'ResolvedRefs False x']],
    ],
  );
  assert.ok(parents.every(({ conditions }) => conditions?.every((condition) => !('parent' in condition))));
});

test('what a gateway refuses is said of it alone, with what is wrong of the route everywhere', () => {
  const section = { ...gateway, sectionName: 'https', port: 443 };
  const refused: ApiCondition = {
    ...{ type: 'Accepted', status: 'False', reason: 'NotAllowedByListeners', message: 'no' },
    parent: 'Gateway shop/front#https:443',
  };
  const wrong: ApiCondition = { type: 'Accepted', status: 'False', reason: 'UnsupportedValue', message: 'y' };
  const acceptedOf = (wanted: readonly ApiCondition[]) =>
    (routeParents(inShop([gateway, section]), wanted, 0) ?? []).map(({ conditions }) => {
      const { status, reason, message } = conditions?.find(({ type }) => type === 'Accepted') ?? assert.fail();
      return `${status} ${reason} ${message}`;
    });
  assert.deepEqual(acceptedOf([atGateway, refused]), [
    'True Accepted attached to http',
    'False NotAllowedByListeners no',
  ]);
  assert.deepEqual(acceptedOf([atGateway, refused, wrong]), [
    'False UnsupportedValue y',
    'False NotAllowedByListeners no; y',
  ]);
});

test('what was said of a gateway goes once it is nobody’s that we speak for', () => {
  const first = routeParents(inShop([gateway]), [atGateway], 0) ?? [];
  assert.equal(first.length, 1);
  const route = { ...inShop([gateway]), status: { parents: [theirs, ...first] } };
  assert.deepEqual(routeParents(route, [], 0), [theirs]);
});

test('nothing is written where it stands there already, and times stay', () => {
  const first = routeParents(route(), [], 0) ?? [];
  assert.equal(routeParents(route(first), [], 60_000), null);
  const later = routeParents(route(first), [unresolved], 60_000);
  assert.deepEqual(
    later?.[0]?.conditions?.map(({ lastTransitionTime }) => lastTransitionTime),
    ['1970-01-01T00:00:00Z', '1970-01-01T00:01:00Z'],
  );
});

test('what was said of a service that is no parent any more goes', () => {
  const first = routeParents(route(), [], 0) ?? [];
  assert.deepEqual(routeParents(route([theirs, ...first], [gateway]), [], 0), [theirs]);
});
