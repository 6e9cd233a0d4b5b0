import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseManifests } from '../../../../src/config/manifests/parse.ts';
import { changesBetween, nextState } from '../../../../src/config/manifests/store.ts';
import type { DocumentChanges, MeshInput } from '../../../../src/config/mesh-input.ts';
import { ProxyReadiness } from '../../../../src/control/waypoints/proxy-readiness.ts';
import { MeshDerivation } from '../../../../src/derive/mesh-derivation.ts';
import { ManualTimers } from '../../../support/manual-timers.ts';

const identity = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'waypoint' };
const name = 'shop/waypoint-1';

const pod = (uid: string, ready = 'True'): string => `apiVersion: v1
kind: Pod
metadata: { name: waypoint-1, namespace: shop, uid: ${uid} }
spec: { nodeName: node-1, serviceAccountName: waypoint, containers: [] }
status: { podIPs: [{ ip: 10.1.0.8 }], conditions: [{ type: Ready, status: '${ready}' }] }
`;

class Rig {
  readonly timers = new ManualTimers();
  readonly readiness: ProxyReadiness;
  readonly #derivation = new MeshDerivation({ node: null, now: () => 0 });
  #documents = new Map();
  #deliver: (changes: DocumentChanges) => void = () => undefined;

  constructor() {
    const input: MeshInput = {
      start: (deliver) => {
        this.#deliver = deliver;
        return Promise.resolve([]);
      },
    };
    this.readiness = new ProxyReadiness(input, this.timers);
  }

  static async start(): Promise<Rig> {
    const rig = new Rig();
    await rig.readiness.start((changes) => {
      rig.#apply(changes);
    }, new AbortController().signal);
    rig.write(pod('a'));
    rig.readiness.agent('node-1', true);
    return rig;
  }

  write(text: string): void {
    const { state } = nextState(new Map(), [parseManifests('mesh.yaml', text)]);
    const changes = changesBetween(this.#documents, state);
    this.#documents = new Map(state);
    this.#deliver(changes);
  }

  proxy(event: 'ready' | 'ended' | 'gone', of = identity): void {
    this.readiness.proxy(name, of, event);
  }

  get status(): string | undefined {
    return this.#derivation.state.workloads.get('Kubernetes//Pod/shop/waypoint-1')?.status;
  }

  #apply(changes: DocumentChanges): void {
    const steps = this.#derivation.update(changes);
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    step.value.commit();
  }
}

suite('the pod of a waypoint whose readiness nobody probes', () => {
  test('is as its manifest says until its proxy has been here', async () => {
    const rig = await Rig.start();
    assert.equal(rig.status, 'healthy');
    rig.write(pod('a', 'False'));
    assert.equal(rig.status, 'unhealthy');
  });

  test('is not ready while its proxy is gone', async () => {
    const rig = await Rig.start();
    rig.proxy('ready');
    assert.equal(rig.status, 'healthy');
    rig.proxy('gone');
    assert.equal(rig.status, 'unhealthy');
    rig.proxy('ready');
    assert.equal(rig.status, 'healthy');
  });

  test('stays so through an edit of its manifest', async () => {
    const rig = await Rig.start();
    rig.proxy('ready');
    rig.proxy('gone');
    rig.write(pod('a').replace('shop,', 'shop, labels: { a: b },'));
    assert.equal(rig.status, 'unhealthy');
  });

  test('is ready while one of its proxies is there: the next one may come before the last one goes', async () => {
    const rig = await Rig.start();
    rig.proxy('ready');
    rig.proxy('ready');
    rig.proxy('gone');
    assert.equal(rig.status, 'healthy');
  });

  test('is ready for as long as a proxy takes to come back whose stream we have ended', async () => {
    const rig = await Rig.start();
    rig.proxy('ready');
    rig.proxy('ended');
    assert.equal(rig.status, 'healthy');
    rig.timers.advance(5_000);
    assert.equal(rig.status, 'unhealthy');
  });

  test('is ready where the agent of its node is gone, too, and not when that is back without the proxy', async () => {
    const rig = await Rig.start();
    rig.proxy('ready');
    rig.readiness.agent('node-1', false);
    rig.proxy('gone');
    assert.equal(rig.status, 'healthy');
    rig.readiness.agent('node-1', true);
    assert.equal(rig.status, 'unhealthy');
  });

  test('is not that of another identity to speak for', async () => {
    const rig = await Rig.start();
    const other = { ...identity, serviceAccount: 'other' };
    rig.proxy('ready', other);
    rig.proxy('gone', other);
    assert.equal(rig.status, 'healthy');
  });

  test('that takes the place of another begins as its manifest says', async () => {
    const rig = await Rig.start();
    rig.proxy('ready');
    rig.proxy('gone');
    rig.write(pod('b'));
    assert.equal(rig.status, 'healthy');
    rig.readiness.agent('node-1', true);
    assert.equal(rig.status, 'healthy');
  });
});
