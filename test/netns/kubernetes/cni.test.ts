import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import type { Agent } from '../../support/agent.ts';
import { ClusterMesh, isCaptured } from '../../support/kube/cluster-mesh.ts';
import type { ClusterPod } from '../../support/kube/cluster-mesh.ts';
import { ambientLabel } from '../../support/manifests.ts';
import { rootSuite } from '../../support/suite.ts';
import { call } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

rootSuite('pods that start through the CNI plugin', () => {
  let mesh: ClusterMesh;
  let agent: Agent;
  let server: ClusterPod;
  before(async () => {
    const places = { client: 0, server: 0, bare: 0, plain: 0, system: 0, still: 0, waiting: 0, labelled: 0 };
    mesh = await ClusterMesh.create({ places, namespaces: { shop: ambientLabel, outside: {} } });
    agent = await mesh.startAgent();
    server = await mesh.startPod({ namespace: 'shop', place: 'server' });
    await mesh.serve(server, ['whoami@[::]:8080']);
  });
  after(() => mesh.remove());

  it('one of the mesh does so once it is enrolled, and its first connection has its identity', async () => {
    const pod = mesh.plan({ namespace: 'shop', place: 'client' });
    const added = mesh.addNetwork(pod);
    await mesh.put(pod);
    assert.deepEqual({ ...(await added), milliseconds: 0 }, { ok: true, code: 0, message: '', milliseconds: 0 });
    assert.equal(await isCaptured(pod), true);
    const line = await mesh.traced(agent, pod, server, 8080);
    assert.equal(line?.['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
    await mesh.runSandbox(pod);
    await mesh.redirected(pod, 'enabled');
  });

  it('one that the API server does not tell of waits, and is told why in the end', async () => {
    const { ok, code, message } = await mesh.addNetwork(mesh.plan({ namespace: 'shop', place: 'waiting' }), 2);
    assert.deepEqual({ ok, code }, { ok: false, code: 11 });
    assert.match(message, /the API server has not told the agent of this pod yet/);
  });

  it('one whose network has none of its addresses does not start, and hears why', async () => {
    await mesh.rig.exec(mesh.rig.pod('bare'), ['ip', 'address', 'flush', 'dev', 'eth0']);
    const pod = await mesh.createPod({ namespace: 'shop', place: 'bare' });
    const { ok, message } = await mesh.addNetwork(pod, 2);
    assert.equal(ok, false);
    assert.match(message, /is not an address of/);
    assert.equal(await isCaptured(pod), false);
  });

  it('one of a namespace outside starts as it is', async () => {
    const pod = await mesh.startPod({ namespace: 'outside', place: 'plain' });
    assert.equal(await isCaptured(pod), false);
    assert.equal(mesh.api.redirection(pod.uid), null);
  });

  it('one of an excluded namespace need not wait for the API server', async () => {
    const pod = mesh.plan({ namespace: 'kube-system', place: 'system' });
    assert.equal((await mesh.addNetwork(pod)).ok, true);
  });

  it('a static pod need not wait for the API server, which it may be', async () => {
    const kubeletUid = '8f14e45fceea167a5a36dedd4bea2543';
    const pod = mesh.plan({ namespace: 'shop', place: 'still', kubeletUid });
    assert.equal((await mesh.addNetwork(pod)).ok, true);
  });

  it('DEL lets a pod go while its network still stands', async () => {
    const pod = await mesh.startPod({ namespace: 'shop', place: 'waiting' });
    assert.equal(await isCaptured(pod), true);
    assert.equal((await mesh.deleteNetwork(pod)).ok, true);
    await waitFor(async () => !(await isCaptured(pod)), { what: 'the end of the capture' });
    await mesh.deletePod(pod, false);
  });

  it('a sandbox that is made anew has another address than the API server still says', async () => {
    const pod = await mesh.startPod({ namespace: 'shop', place: 'waiting', name: 'moving' });
    await mesh.redirected(pod, 'enabled');
    await mesh.moveSandbox(pod, 'labelled');
    assert.equal((await mesh.addNetwork(pod, 5)).ok, true);
    assert.equal(await isCaptured(pod), true);
    await mesh.runSandbox(pod);
    const line = await mesh.traced(agent, pod, server, 8080);
    assert.equal(line?.['src.identity'], 'spiffe://cluster.local/ns/shop/sa/moving');
    await mesh.deletePod(pod);
    await mesh.renewPlace('labelled');
  });

  it('without an agent those of the mesh wait, those outside start, and enrolled ones refuse', async () => {
    await agent.stop('SIGKILL');
    const { ok, code } = await mesh.addNetwork(await mesh.createPod({ namespace: 'shop', place: 'waiting' }), 2);
    assert.deepEqual({ ok, code }, { ok: false, code: 11 });
    for (const namespace of ['outside', 'kube-system']) {
      assert.equal((await mesh.addNetwork(mesh.plan({ namespace, place: 'plain' }))).ok, true);
    }
    assert.equal((await call(mesh.rig.pod('plain').netns, server.at(8080))).error, 'ECONNREFUSED');
    assert.equal((await call(mesh.rig.pod('client').netns, server.at(8080))).error, 'ECONNREFUSED');
  });

  it('the next agent takes over, lets in who waits, and takes in who has started outside, which an Event tells', async () => {
    const labelled = await mesh.createPod({ namespace: 'outside', place: 'labelled', labels: ambientLabel });
    assert.equal((await mesh.addNetwork(labelled)).ok, true);
    await mesh.runSandbox(labelled);
    const waiting = await mesh.createPod({ namespace: 'shop', place: 'waiting', name: 'again' });
    const added = mesh.addNetwork(waiting);
    const next = await mesh.startAgent();
    assert.match(next.log(), /took over pods/);
    assert.equal((await added).ok, true);
    await mesh.redirected(labelled, 'enabled');
    await waitFor(() => mesh.api.events(labelled.uid).length > 0, { what: 'the Event' });
    assert.deepEqual(
      mesh.api.events(labelled.uid).map(({ reason }) => reason),
      ['StartedOutsideMesh'],
    );
    assert.equal(mesh.api.events(server.uid).length, 0);
    assert.equal((await call(mesh.rig.pod('client').netns, server.at(8080))).ok, true);
  });
});

rootSuite('a hundred pods that start at once', () => {
  const names = Array.from({ length: 100 }, (_, place) => `p${place}`);
  let mesh: ClusterMesh;
  before(async () => {
    const places = Object.fromEntries(names.map((name) => [name, 0]));
    mesh = await ClusterMesh.create({ places, namespaces: { shop: ambientLabel } });
    await mesh.startAgent();
  });
  after(() => mesh.remove());

  it('are all enrolled by their first try', async () => {
    const pods = names.map((place) => mesh.plan({ namespace: 'shop', place, spec: { serviceAccountName: 'web' } }));
    await mesh.putAll(pods);
    const results = await Promise.all(pods.map((pod) => mesh.addNetwork(pod, 110)));
    assert.deepEqual(
      results.filter(({ ok }) => !ok),
      [],
    );
    const captured = await Promise.all(pods.map(isCaptured));
    assert.equal(captured.includes(false), false);
  });
});
