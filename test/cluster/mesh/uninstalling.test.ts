import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import type { Running } from '../../support/processes.ts';
import { endpoint } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { startFarAndNear } from '../harness/far-and-near.ts';
import type { Reached } from '../harness/far-and-near.ts';
import { installGatewayApi } from '../harness/gateway-api.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import { differences, podStateOf, recordedState, stateOf } from '../harness/node-state.ts';
import type { State } from '../harness/node-state.ts';
import type { Pod } from '../harness/objects.ts';
import { clusterSuite } from '../harness/suite.ts';
import { serverPod } from '../harness/workloads.ts';

const names = ['web', 'near', 'far'];
const ofWaypoint = 'gateway.networking.k8s.io/gateway-name=waypoint';

clusterSuite('uninstalling', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let outside: TestNamespace;
  let reached: Reached;
  /** The pods' network namespaces before they were in the mesh. */
  let podsBefore: State;
  let held: readonly Running[] = [];

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    [shop, outside] = await Promise.all([
      TestNamespace.create(cluster, 'leaving'),
      TestNamespace.create(cluster, 'outside'),
    ]);
    await installGatewayApi(cluster);
    reached = await startFarAndNear(shop, outside);
    const { echo } = reached;
    podsBefore = await podStates();
    held = await Promise.all([shop.hold('near', [echo]), outside.hold('stranger', [echo])]);
    await shop.label('istio.io/dataplane-mode', 'ambient');
    await shop.untilRedirected(names, 'enabled');
    await mesh.ambit(['waypoint', 'apply', '-n', shop.name, '--wait']);
  });

  after(async () => {
    await Promise.all(held.map((running) => running.stop()));
    await Promise.all([shop.remove(), outside.remove()]);
  });

  const podStates = async (): Promise<State> => {
    const states = names.map(async (name): Promise<[string, readonly string[]]> => {
      return [`pod ${name}`, await podStateOf(cluster, await shop.get<Pod>(['pod', name]))];
    });
    return Object.fromEntries(await Promise.all(states));
  };

  it('finds the pods in the mesh, and what that takes in them', async () => {
    assert.equal((await shop.whoami('far', reached.web)).server, 'web');
    assert.ok(differences(podsBefore, await podStates()).length > 0);
  });

  it('lets every pod go on in plain text, with the connections that it had before the mesh', async () => {
    const begun = Date.now();
    await mesh.uninstall();
    console.log(`uninstalled after ${Date.now() - begun} ms`);
    for (const [client, namespace] of [
      ['near', shop],
      ['far', shop],
      ['stranger', outside],
    ] as const) {
      assert.equal((await namespace.whoami(client, reached.web)).server, 'web');
    }
    for (const running of held) {
      running.write('exchange 0 4096\n');
      const line = await running.line((text) => text.includes('"exchange"'));
      assert.equal((JSON.parse(line) as { readonly end?: string }).end, 'open');
    }
  });

  it('takes away what was deployed for Gateways, which stay', async () => {
    const made = ['deployment', 'service', 'serviceaccount'].map((kind) => `${kind}/waypoint`);
    const present = async (...words: readonly string[]): Promise<string> =>
      (await shop.kubectl(['get', ...words, '--ignore-not-found', '--output', 'name'])).trim();
    await cluster.until('the end of the waypoint', async () => (await present(...made)) === '');
    await cluster.until('the end of its pods', async () => (await shop.pods(ofWaypoint)).length === 0);
    assert.equal(await present('gatewayclass/istio-waypoint'), '');
    assert.equal(await present('gateway/waypoint'), 'gateway.gateway.networking.k8s.io/waypoint');
  });

  it('says of no pod that it is in the mesh', async () => {
    assert.deepEqual(await shop.redirections(), { web: null, near: null, far: null });
  });

  it('leaves the pods’ network namespaces as they were', async () => {
    assert.deepEqual(differences(podsBefore, await podStates()), []);
  });

  it('leaves nodes and cluster as they were before it was installed', async () => {
    assert.deepEqual(differences(await recordedState(cluster), await stateOf(cluster)), []);
  });

  it('leaves new pods to the network that was there', async () => {
    const { port } = reached;
    await shop.start(serverPod('new', [`whoami@[::]:${port}`], { node: 2 }));
    const [pod] = await shop.pods('app=new');
    assert.equal((await outside.whoami('stranger', endpoint(pod?.status.podIP ?? '', port))).server, 'new');
  });
});
