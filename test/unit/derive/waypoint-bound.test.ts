import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { parseManifests } from '../../../src/config/manifests/parse.ts';
import { changesBetween, nextState } from '../../../src/config/manifests/store.ts';
import { MeshDerivation } from '../../../src/derive/mesh-derivation.ts';
import { namespace, pod, resource, serviceEntry, waypoint } from './support.ts';

const useLabel = { 'istio.io/use-waypoint': 'w' };
const gatewayPod = pod('w-1', { labels: { 'gateway.networking.k8s.io/gateway-name': 'w' } });
const ready = [waypoint('w'), gatewayPod];

function web(labels: Readonly<Record<string, string>> = {}): string {
  return resource('v1', 'Service', 'web', 'shop', { clusterIP: '10.96.0.1', ports: [{ port: 80 }] }, { labels });
}

function commit(update: ReturnType<MeshDerivation['update']>): void {
  for (;;) {
    const step = update.next();
    if (step.done !== true) continue;
    step.value.commit();
    return;
  }
}

/** What is said to be bound, after each of the states of the documents. */
function bound(...states: readonly (readonly string[])[]): readonly string[] {
  const derivation = new MeshDerivation({ node: null, now: () => 0 });
  let before: ReturnType<typeof nextState>['state'] = new Map();
  for (const documents of states) {
    const { state } = nextState(before, [parseManifests('m.yaml', documents.join('\n---\n'))]);
    commit(derivation.update(changesBetween(before, state)));
    before = state;
  }
  return derivation.bound.map(({ resource: of, type, reason }) => `${of}: ${type}/${reason}`);
}

void describe('what is told of a document that has its waypoint', () => {
  test('is so for a Service of a namespace that asks for it', () => {
    assert.deepEqual(bound([namespace('shop', useLabel), web(), ...ready]), [
      'Service shop/web: istio.io/WaypointBound/WaypointAccepted',
    ]);
  });

  test('is so once for a ServiceEntry, however many hosts it has', () => {
    const entry = serviceEntry('out', { hosts: ['a.example', 'b.example'], resolution: 'NONE' }, { labels: useLabel });
    assert.deepEqual(bound([entry, ...ready]), ['ServiceEntry shop/out: istio.io/WaypointBound/WaypointAccepted']);
  });

  test('is not so where the waypoint is not ready, nor where none is asked for', () => {
    assert.deepEqual(bound([web(useLabel), waypoint('w')]), []);
    assert.deepEqual(bound([web(), ...ready]), []);
  });

  test('is not so any more when the label goes', () => {
    assert.deepEqual(bound([web(useLabel), ...ready], [web(), ...ready]), []);
  });
});
