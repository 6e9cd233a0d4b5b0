import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { parseMetrics, sum } from '../../support/metrics.ts';
import { endpoint, wasReset } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { describeLoads, failuresBeyond, failuresOf, Load } from '../harness/load.ts';
import type { LoadResult } from '../harness/load.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { redirectionOf, TestNamespace } from '../harness/namespace.ts';
import { clusterSuite } from '../harness/suite.ts';
import { clientPod, deployment, serverPod, service, strict } from '../harness/workloads.ts';

const port = 8080;
const servers = [`echo@[::]:${port}`];
const joined = { 'istio.io/dataplane-mode': 'ambient' };
const clients = ['near', 'far'];
/** Milliseconds without a control plane: agents' pauses between attempts have long grown to their longest. */
const away = 125_000;

clusterSuite('changes under load', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  /** The same without the mesh. */
  let plain: TestNamespace;

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    [shop, plain] = await Promise.all([
      TestNamespace.create(cluster, 'rolling', joined),
      TestNamespace.create(cluster, 'plain'),
    ]);
    await shop.apply(strict);
    await Promise.all([shop, plain].map(prepare));
  });

  after(() => Promise.all([shop.remove(), plain.remove()]));

  const prepare = async (namespace: TestNamespace): Promise<void> => {
    await namespace.apply(deployment('web', servers), service('web', 'web', [port]), service('fixed', 'fixed', [port]));
    await namespace.start(
      clientPod('near', { node: 1 }),
      clientPod('far', { node: 2 }),
      serverPod('fixed', [...servers, 'whoami@[::]:8081'], { node: 1 }),
    );
    await namespace.untilScaled('web', 1);
  };

  const load = async (namespace: TestNamespace, name: string): Promise<readonly Load[]> => {
    const address = endpoint(await namespace.serviceAddress(name), port);
    return Promise.all(clients.map((client) => Load.start(namespace, client, address)));
  };

  const finish = (loads: readonly Load[]): Promise<LoadResult[]> => Promise.all(loads.map((one) => one.finish()));

  const scaleBoth = async (replicas: number): Promise<void> => {
    const begun = Date.now();
    const scaled = [shop, plain].map(async (namespace) => {
      await namespace.scale('web', replicas);
      await namespace.untilScaled('web', replicas);
      return Date.now() - begun;
    });
    const [inMesh, without] = await Promise.all(scaled);
    console.log(`${replicas} pods after ${inMesh} ms in the mesh, ${without} ms without`);
  };

  it('scales from 1 to 50 and back without a failure that there would not be without the mesh', async () => {
    const [inMesh, without] = await Promise.all([load(shop, 'web'), load(plain, 'web')]);
    await scaleBoth(50);
    await scaleBoth(1);
    const [results, others] = await Promise.all([finish(inMesh), finish(without)]);
    console.log(`in the mesh: ${describeLoads(results)}\nwithout: ${describeLoads(others)}`);
    if (failuresOf(results) > 0) console.log((await mesh.failuresIn(shop.name)).join('\n'));
    assert.deepEqual(failuresBeyond(results, others), {}, describeLoads(results));
  });

  it('replaces the agents without the failure of a new connection', async () => {
    await shop.scale('web', 2);
    await shop.untilScaled('web', 2);
    const loads = await load(shop, 'web');
    const begun = Date.now();
    await mesh.restartAgents();
    console.log(`both agents were replaced after ${Date.now() - begun} ms`);
    const results = await finish(loads);
    console.log(describeLoads(results));
    assert.equal(failuresOf(results), 0, describeLoads(results));
  });

  it('refuses connections while an agent has crashed, and lets no pod fall out', async () => {
    const fixed = endpoint((await shop.get<{ status: { podIP: string } }>(['pod', 'fixed'])).status.podIP, 8081);
    const ofStranger = endpoint(await shop.serviceAddress('fixed'), port);
    const [member, stranger] = await Promise.all([
      load(shop, 'fixed'),
      Load.start(plain, 'far', ofStranger, { mayFail: true }),
    ]);
    await mesh.signalAgents(1, 'KILL');
    await cluster.until('the member to be served again', async () => (await shop.call('far', fixed)).ok);
    const results = await finish(member);
    const { connections } = await stranger.finish();
    console.log(`agent killed: ${describeLoads(results)}`);
    assert.equal(connections, 0, 'plaintext has reached a pod of the mesh');
    assert.ok(wasReset(await plain.call('far', fixed)));
    assert.equal((await shop.redirections())['fixed'], 'enabled');
  });

  it('goes on without a control plane, which comes back without a herd', async () => {
    const loads = await load(shop, 'web');
    await mesh.scaleControl(0);
    const begun = Date.now();
    const [young] = await shop.start(serverPod('young', ['whoami@[::]:8081'], { node: 2 }));
    await shop.untilRedirected(['young'], 'enabled');
    const fixed = endpoint((await shop.get<{ status: { podIP: string } }>(['pod', 'fixed'])).status.podIP, 8081);
    while (Date.now() - begun < away) {
      assert.equal((await shop.whoami('young', fixed)).server, 'fixed');
      assert.ok(wasReset(await plain.call('far', fixed)));
    }
    await mesh.scaleControl(1);
    const returned = Date.now();
    const address = endpoint(young?.status.podIP ?? '', 8081);
    await cluster.until('others to know the new pod', async () => (await shop.call('near', address)).ok);
    console.log(`agents knew what had happened ${Date.now() - returned} ms after the control plane was back`);
    const results = await finish(loads);
    console.log(`without a control plane: ${describeLoads(results)}`);
    assert.equal(failuresOf(results), 0, describeLoads(results));
    // Agents that know what is in force get only what has changed, and keep the certificates that they have.
    const samples = parseMetrics(await mesh.controlMetrics());
    assert.equal(sum(samples, 'pilot_xds'), 2);
    assert.equal(sum(samples, 'citadel_server_csr_count'), 0);
    const pushes = sum(samples, 'pilot_xds_pushes');
    console.log(`${pushes} responses since the control plane is back`);
    assert.ok(pushes <= 30, `${pushes} responses`);
  });

  // The last one: nobody waits for the end of so many.
  it('takes in a hundred pods that start at once', async () => {
    const begun = Date.now();
    await shop.apply(deployment('crowd', servers, { replicas: 100, serveOnSeconds: 1 }));
    const pods = await shop.untilScaled('crowd', 100);
    console.log(`a hundred pods were ready after ${Date.now() - begun} ms`);
    await cluster.until('a hundred enrolled pods', async () => {
      const now = await shop.pods('app=crowd');
      return now.every((pod) => redirectionOf(pod) === 'enabled');
    });
    for (const node of ['node-1', 'node-2']) {
      assert.equal(pods.filter(({ spec }) => spec.nodeName === node).length, 50);
    }
  });
});
