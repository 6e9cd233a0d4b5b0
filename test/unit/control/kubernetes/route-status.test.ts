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
