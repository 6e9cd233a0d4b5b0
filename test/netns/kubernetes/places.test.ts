import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import type { Agent } from '../../support/agent.ts';
import { ClusterMesh, counted, isCaptured } from '../../support/kube/cluster-mesh.ts';
import { newContainerId, startContainer } from '../../support/kube/kubelet.ts';
import { ambientLabel } from '../../support/manifests.ts';
import { rootSuite } from '../../support/suite.ts';
import { waitFor } from '../../support/wait.ts';

/** Where running pods are, by their processes alone. */
rootSuite('the network namespaces of running pods', () => {
  let mesh: ClusterMesh;
  let agent: Agent;
  before(async () => {
    mesh = await ClusterMesh.create({
      places: { right: 0, wrong: 0, first: 0, entered: 0, still: 0 },
      namespaces: { shop: ambientLabel },
    });
    agent = await mesh.startAgent();
  });
  after(() => mesh.remove());

  it('one without the addresses of the status is refused, counted and told, and taken once it has them', async () => {
    const pod = await mesh.runPod({ namespace: 'shop', place: 'wrong', addresses: [mesh.rig.pod('right').ipv4] });
    await mesh.redirected(pod, 'pending');
    assert.equal(await isCaptured(pod), false);
    assert.ok((await counted(agent, 'ambit_netns_refused_total', { reason: 'address' })) > 0);
    await waitFor(() => mesh.api.events(pod.uid).length > 0, { what: 'the Event' });
    const [event] = mesh.api.events(pod.uid);
    assert.equal(event?.reason, 'RedirectionPending');
    assert.match(event.note, /has no address 10\.77\.1\.\d+: it is not that of the pod/);
    await mesh.report(pod, 'Running', [pod.sandbox.plan.ipv4]);
    await mesh.redirected(pod, 'enabled');
    assert.equal(mesh.api.events(pod.uid).length, 1);
  });

  it('a process of the pod that has entered another pod’s does not mislead', async () => {
    const pod = await mesh.runPod({ namespace: 'shop', place: 'first' });
    const other = mesh.rig.pod('entered');
    const sandbox = { ...pod.sandbox, container: newContainerId(), plan: other };
    pod.processes.push(await startContainer(mesh.rig.run, mesh.driver, sandbox));
    await mesh.redirected(pod, 'enabled');
    assert.equal(await isCaptured(pod), true);
    assert.equal((await mesh.rig.exec(other, ['ip', 'rule'])).stdout.includes('lookup 15001'), false);
  });

  it('those of static pods are not looked for: they never join', async () => {
    const kubeletUid = '8f14e45fceea167a5a36dedd4bea2543';
    const annotations = { 'kubernetes.io/config.mirror': kubeletUid, 'kubernetes.io/config.hash': kubeletUid };
    const mirror = await mesh.runPod({ namespace: 'shop', place: 'still', kubeletUid, annotations });
    const pod = await mesh.runPod({ namespace: 'shop', place: 'right' });
    await mesh.redirected(pod, 'enabled');
    assert.equal(mesh.api.redirection(mirror.uid), null);
    assert.equal(await isCaptured(mirror), false);
  });

  it('each agent asks for the pods of its own node alone', () => {
    const asked = mesh.api.server.requests.filter(({ method, path }) => method === 'GET' && path === '/api/v1/pods');
    assert.ok(asked.length > 0);
    for (const { query } of asked) assert.equal(query['fieldSelector'], `spec.nodeName=${mesh.rig.node(0).name}`);
  });
});
