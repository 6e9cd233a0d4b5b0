import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { testkitBinary } from '../../support/paths.ts';
import { start } from '../../support/processes.ts';
import { endpoint, wasReset } from '../../support/testkit.ts';
import type { CallResult, CaptureResult } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { Load } from '../harness/load.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { redirectionOf, TestNamespace } from '../harness/namespace.ts';
import { holds } from '../harness/objects.ts';
import type { Pod } from '../harness/objects.ts';
import { clusterSuite } from '../harness/suite.ts';
import { clientPod, serverPod, service, strict } from '../harness/workloads.ts';

const port = 8080;
const servers = [`whoami@[::]:${port}`];
/** Sent by the mesh's pods, and by one outside to show that what is sent in plain would be seen. */
const texts = { secret: 'of-the-mesh', plain: 'of-nobodys-concern' };

clusterSuite('the reboot of a node', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let outside: TestNamespace;
  let pods: readonly Pod[];

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    shop = await TestNamespace.create(cluster, 'reboot', { 'istio.io/dataplane-mode': 'ambient' });
    outside = await TestNamespace.create(cluster, 'outside');
    // Told of before it is ready, so that nobody comes too late for its first moment.
    await shop.apply(strict, service('web', 'web', [port], { publishNotReadyAddresses: true }));
    pods = await shop.start(
      serverPod('home', servers, { node: 1 }),
      clientPod('near', { node: 1 }),
      serverPod('web', servers, { node: 2 }),
    );
    await Promise.all([
      shop.start(chatterer(pods[0]?.status.podIP ?? '')),
      outside.start(clientPod('stranger', { node: 1 }), serverPod('plain', servers, { node: 2 })),
    ]);
  });

  after(() => Promise.all([shop.remove(), outside.remove()]));

  /** A pod that connects from its first moment on, and tells of each connection. */
  const chatterer = (address: string) => {
    const call = `ambit-testkit call ${endpoint(address, port)} --send "${texts.secret}"`;
    return clientPod('chatterer', {
      node: 2,
      container: { command: ['/bin/sh', '-c', `while :; do ${call}; sleep 0.1; done`] },
    });
  };

  const capture = async (): Promise<() => Promise<CaptureResult>> => {
    const needles = Object.values(texts).flatMap((text) => ['--needle', text]);
    const running = start(
      cluster.nodeCommand(1, [testkitBinary, 'capture', '--interface', 'eth0', '--duration', '600000', ...needles]),
    );
    await running.line((line) => line.includes('"ready"'));
    return async () => {
      await running.finish();
      return JSON.parse(await running.line((line) => line.includes('"done"'))) as CaptureResult;
    };
  };

  const startedAgain = async (namespace: TestNamespace, name: string, former: number): Promise<Pod> =>
    cluster.until(
      `pod ${name} after the reboot`,
      async () => {
        const pod = await namespace.get<Pod>(['pod', name]);
        const restarts = pod.status.containerStatuses?.[0]?.restartCount ?? 0;
        return holds(pod.status.conditions, 'Ready') && restarts > former ? pod : null;
      },
      { timeout: 180_000 },
    );

  it('leaves no moment in which its pods are outside the mesh', async () => {
    const finishCapture = await capture();
    const stranger = await Load.start(outside, 'stranger', endpoint(await shop.serviceAddress('web'), port), {
      mayFail: true,
    });
    const begun = Date.now();
    await cluster.reboot(2);
    const [web] = await Promise.all([startedAgain(shop, 'web', 0), startedAgain(shop, 'chatterer', 0)]);
    const plain = await startedAgain(outside, 'plain', 0);
    console.log(`the pods of the node were back after ${Date.now() - begun} ms`);

    const address = endpoint(web.status.podIP ?? '', port);
    await cluster.until('web to be reached again', async () => (await shop.whoami('near', address)).server === 'web');
    await cluster.until('the chatterer to be heard again', async () => {
      const lines = (await shop.kubectl(['logs', 'chatterer'])).trim().split('\n');
      return lines.map((line) => JSON.parse(line) as CallResult).some(({ ok }) => ok);
    });
    assert.deepEqual([redirectionOf(await shop.get<Pod>(['pod', 'web']))], ['enabled']);
    assert.ok(wasReset(await outside.call('stranger', address)));

    const call = await outside.call('stranger', endpoint(plain.status.podIP ?? '', port), ['--send', texts.plain]);
    assert.equal(call.ok, true);
    const { connections } = await stranger.finish();
    assert.equal(connections, 0, 'plaintext was accepted');
    const seen = await finishCapture();
    assert.equal(seen.dropped, 0);
    assert.ok((seen.needles[texts.plain] ?? 0) > 0);
    assert.equal(seen.needles[texts.secret], 0, 'plaintext was sent');
    await mesh.untilReady(2);
  });
});
