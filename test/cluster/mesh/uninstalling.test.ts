import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import type { Running } from '../../support/processes.ts';
import { endpoint } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import { differences, podStateOf, recordedState, stateOf } from '../harness/node-state.ts';
import type { State } from '../harness/node-state.ts';
import type { Pod } from '../harness/objects.ts';
import { clusterSuite } from '../harness/suite.ts';
import { clientPod, serverPod, strict } from '../harness/workloads.ts';

const port = 8080;
const echoPort = 8081;
const names = ['web', 'near', 'far'];

clusterSuite('uninstalling', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let outside: TestNamespace;
  let web: string;
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
    await shop.apply(strict);
    const [[server]] = await Promise.all([
      shop.start(
        serverPod('web', [`whoami@[::]:${port}`, `echo@[::]:${echoPort}`], { node: 1 }),
        clientPod('near', { node: 1 }),
        clientPod('far', { node: 2 }),
      ),
      outside.start(clientPod('stranger', { node: 2 })),
    ]);
    web = endpoint(server?.status.podIP ?? '', port);
    const echo = endpoint(server?.status.podIP ?? '', echoPort);
    podsBefore = await podStates();
    held = await Promise.all([shop.hold('near', [echo]), outside.hold('stranger', [echo])]);
    await shop.label('istio.io/dataplane-mode', 'ambient');
    await shop.untilRedirected(names, 'enabled');
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
    assert.equal((await shop.whoami('far', web)).server, 'web');
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
      assert.equal((await namespace.whoami(client, web)).server, 'web');
    }
    for (const running of held) {
      running.write('exchange 0 4096\n');
      const line = await running.line((text) => text.includes('"exchange"'));
      assert.equal((JSON.parse(line) as { readonly end?: string }).end, 'open');
    }
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
    await shop.start(serverPod('new', [`whoami@[::]:${port}`], { node: 2 }));
    const [pod] = await shop.pods('app=new');
    assert.equal((await outside.whoami('stranger', endpoint(pod?.status.podIP ?? '', port))).server, 'new');
  });
});
