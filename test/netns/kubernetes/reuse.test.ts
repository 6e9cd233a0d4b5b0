import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import type { Agent } from '../../support/agent.ts';
import { ClusterMesh } from '../../support/kube/cluster-mesh.ts';
import type { ClusterPod } from '../../support/kube/cluster-mesh.ts';
import { ambientLabel, authorizationPolicy, peerAuthentication } from '../../support/manifests.ts';
import { rootSuite } from '../../support/suite.ts';
import { call } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const server = ['whoami@[::]:8080'] as const;

/** A pod that has the address of a former one, which clients on both nodes have just talked to. */
rootSuite('addresses that are used again', () => {
  let mesh: ClusterMesh;
  let agents: readonly Agent[];
  let near: ClusterPod;
  let far: ClusterPod;
  before(async () => {
    mesh = await ClusterMesh.create({
      nodes: 2,
      places: { near: 1, far: 0, reused: 1 },
      namespaces: { shop: ambientLabel, outside: {} },
      documents: [
        peerAuthentication('shop', 'STRICT'),
        authorizationPolicy('shop', 'closed', {
          selector: { matchLabels: { app: 'second' } },
          action: 'ALLOW',
          rules: [],
        }),
      ],
    });
    agents = await Promise.all([mesh.startAgent(0), mesh.startAgent(1)]);
    [near, far] = (await Promise.all(['near', 'far'].map((place) => mesh.startPod({ namespace: 'shop', place })))) as [
      ClusterPod,
      ClusterPod,
    ];
  });
  after(() => mesh.remove());

  async function start(name: string, namespace = 'shop'): Promise<ClusterPod> {
    const pod = await mesh.startPod({ namespace, place: 'reused', name, labels: { app: name } });
    await mesh.serve(pod, server);
    return pod;
  }

  /** Its network goes with it, and the next one is as new as a runtime would make it. */
  async function replace(pod: ClusterPod, tell: boolean): Promise<void> {
    await mesh.deletePod(pod, tell);
    await mesh.renewPlace('reused');
  }

  async function answered(pod: ClusterPod): Promise<number> {
    const results = await Promise.all(
      [near, far].flatMap((client) => [1, 2, 3].map(() => call(client.netns, pod.at(8080)))),
    );
    return results.filter(({ ok }) => ok).length;
  }

  it('no verdict for the former pod holds for the next, not for a moment', async () => {
    const first = await start('first');
    await Promise.all([near, far].map((client) => mesh.reaches(client, first, 8080)));
    await replace(first, true);
    const second = await start('second');
    for (let round = 0; round < 5; round++) assert.equal(await answered(second), 0);
    await replace(second, true);
  });

  for (const told of [true, false]) {
    it(`no tunnel to the former pod leads to the next, its end ${told ? 'told' : 'not told'} by the runtime`, async () => {
      const third = await start('third');
      await Promise.all([near, far].map((client) => mesh.reaches(client, third, 8080)));
      await replace(third, told);
      const fourth = await start('fourth');
      for (const [client, agent] of [
        [near, agents[1]],
        [far, agents[0]],
      ] as const) {
        await mesh.reaches(client, fourth, 8080);
        assert.ok(agent);
        const { local } = await call(client.netns, fourth.at(8080));
        const line = await waitFor(
          async () =>
            (await agent.accessLog()).find((one) => one['direction'] === 'outbound' && one['src.addr'] === local),
          { what: 'the line of the call' },
        );
        assert.equal(line['dst.identity'], 'spiffe://cluster.local/ns/shop/sa/fourth');
      }
      await replace(fourth, told);
    });
  }

  it('a pod that has completed, and still shows its address, does not stand before the next', async () => {
    const job = await start('job');
    await Promise.all([near, far].map((client) => mesh.reaches(client, job, 8080)));
    await Promise.all(job.processes.map((process) => process.stop('SIGKILL')));
    await mesh.report(job, 'Succeeded');
    await mesh.deleteNetwork(job);
    await mesh.renewPlace('reused');
    const next = await start('next');
    await Promise.all([near, far].map((client) => mesh.reaches(client, next, 8080)));
    assert.equal(mesh.api.redirection(next.uid), 'enabled');
    await replace(next, true);
    await mesh.deletePod(job);
  });

  it('the identity of the former pod is not that of the next, as a client', async () => {
    await mesh.serve(near, ['whoami@[::]:8090']);
    await mesh.serve(far, ['whoami@[::]:8090']);
    const fifth = await start('fifth');
    await Promise.all([near, far].map((to) => mesh.reaches(fifth, to, 8090)));
    await replace(fifth, false);
    const sixth = await start('sixth', 'outside');
    for (const to of [near, far]) assert.equal((await call(sixth.netns, to.at(8090))).ok, false);
  });
});
