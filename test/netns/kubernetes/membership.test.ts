import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';

import type { Agent } from '../../support/agent.ts';
import { ClusterMesh, isCaptured } from '../../support/kube/cluster-mesh.ts';
import type { ClusterPod } from '../../support/kube/cluster-mesh.ts';
import { ambientLabel, meshSettings } from '../../support/manifests.ts';
import type { Running } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { hold } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const none = { 'istio.io/dataplane-mode': 'none' } as const;

async function exchanges(held: Running, count: number): Promise<void> {
  held.write('exchange 0 1000\n');
  const answers = (): readonly string[] => held.lines.filter((line) => line.includes('"exchange"'));
  await waitFor(() => answers().length >= count, { what: `exchange ${count}` });
  assert.match(answers().at(-1) ?? '', /"error":null/);
}

rootSuite('labels on running pods of a cluster', () => {
  let mesh: ClusterMesh;
  let agent: Agent;
  let client: ClusterPod;
  let server: ClusterPod;
  before(async () => {
    mesh = await ClusterMesh.create({
      places: { client: 0, server: 0, third: 0, host: 0 },
      namespaces: { shop: {}, quiet: {} },
    });
    client = await mesh.runPod({ namespace: 'shop', place: 'client' });
    server = await mesh.runPod({ namespace: 'shop', place: 'server' });
    await mesh.serve(server, ['whoami@[::]:8080', 'echo@[::]:8081']);
    agent = await mesh.startAgent();
  });
  after(() => mesh.remove());

  async function assertOutside(...pods: readonly ClusterPod[]): Promise<void> {
    for (const pod of pods) {
      assert.equal(mesh.api.redirection(pod.uid), null);
      assert.equal(await isCaptured(pod), false);
    }
  }

  async function notInMesh(): Promise<readonly string[]> {
    const text = await readFile(join(mesh.runDir(0), 'namespaces.json'), 'utf8');
    return (JSON.parse(text) as { readonly notInMesh: readonly string[] }).notInMesh;
  }

  it('none: the pods are left alone', async () => {
    assert.equal(await mesh.traced(agent, client, server, 8080), null);
    await assertOutside(client, server);
  });

  it('on the namespace: its pods join, with their identities, and open connections stay', async () => {
    const held = await hold(client.netns, [server.at(8081)]);
    await exchanges(held, 1);
    await mesh.labelNamespace('shop', ambientLabel);
    await Promise.all([mesh.redirected(client, 'enabled'), mesh.redirected(server, 'enabled')]);
    assert.equal(await isCaptured(client), true);
    await exchanges(held, 2);
    await mesh.reaches(client, server, 8080);
    const line = await mesh.traced(agent, client, server, 8080);
    assert.equal(line?.['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
    assert.equal(line['dst.identity'], 'spiffe://cluster.local/ns/shop/sa/server');
  });

  it('`none` on a pod: it alone leaves, and connections that it has through the mesh stay', async () => {
    const held = await hold(client.netns, [server.at(8081)]);
    await exchanges(held, 1);
    await mesh.label(client, none);
    await mesh.redirected(client, null);
    assert.equal(mesh.api.redirection(server.uid), 'enabled');
    await exchanges(held, 2);
    const line = await mesh.traced(agent, client, server, 8080);
    assert.equal(line?.['src.identity'], undefined);
    held.write('close 0\n');
    await waitFor(async () => !(await isCaptured(client)), { what: 'the end of the capture' });
  });

  it('taken from the namespace: its pods leave, and open connections stay', async () => {
    await mesh.label(client, {});
    await mesh.redirected(client, 'enabled');
    const held = await hold(client.netns, [server.at(8081)]);
    await exchanges(held, 1);
    await mesh.labelNamespace('shop', {});
    await Promise.all([mesh.redirected(client, null), mesh.redirected(server, null)]);
    await exchanges(held, 2);
    assert.equal(await mesh.traced(agent, client, server, 8080), null);
    held.write('close 0\n');
    for (const pod of [client, server]) {
      await waitFor(async () => !(await isCaptured(pod)), { what: 'the end of the capture' });
    }
  });

  it('on a pod alone, in a namespace without one: it joins, and never one of the host’s network', async () => {
    const host = await mesh.runPod({
      namespace: 'quiet',
      place: 'host',
      labels: ambientLabel,
      spec: { hostNetwork: true },
    });
    const third = await mesh.runPod({ namespace: 'quiet', place: 'third', labels: ambientLabel });
    await mesh.redirected(third, 'enabled');
    await assertOutside(host);
    await waitFor(async () => !(await notInMesh()).includes('quiet'), { what: 'the list of namespaces' });
    await mesh.deletePod(third);
    await mesh.deletePod(host);
  });

  it('in an excluded namespace: nobody joins until the mesh settings say otherwise, and they leave when it is excluded again', async () => {
    await mesh.write('settings', [meshSettings({ excludedNamespaces: ['kube-system', 'shop'] })]);
    await mesh.labelNamespace('shop', ambientLabel);
    const third = await mesh.runPod({ namespace: 'quiet', place: 'third', labels: ambientLabel });
    await mesh.redirected(third, 'enabled');
    await assertOutside(client, server);
    await mesh.write('settings', [meshSettings({})]);
    await Promise.all([mesh.redirected(client, 'enabled'), mesh.redirected(server, 'enabled')]);
    await mesh.write('settings', [meshSettings({ excludedNamespaces: ['kube-system', 'shop'] })]);
    await Promise.all([mesh.redirected(client, null), mesh.redirected(server, null)]);
    await mesh.deletePod(third);
  });

  it('the list for the plugin follows the mesh settings, also where no pod of this node is concerned', async () => {
    await mesh.labelNamespace('empty', ambientLabel);
    await waitFor(async () => !(await notInMesh()).includes('empty'), { what: 'a namespace of the mesh' });
    await mesh.write('settings', [meshSettings({ excludedNamespaces: ['kube-system', 'shop', 'empty'] })]);
    await waitFor(async () => (await notInMesh()).includes('empty'), { what: 'an excluded namespace' });
    await mesh.write('settings', [meshSettings({ excludedNamespaces: ['kube-system', 'shop'] })]);
    await waitFor(async () => !(await notInMesh()).includes('empty'), { what: 'a namespace of the mesh again' });
  });

  it('the one of sidecars joins where the mesh settings say so, and not before', async () => {
    await mesh.write('settings', [meshSettings({})]);
    await mesh.labelNamespace('shop', { 'istio-injection': 'enabled' });
    await Promise.all([mesh.redirected(client, null), mesh.redirected(server, null)]);
    await mesh.write('settings', [meshSettings({ injectionLabel: 'join' })]);
    await Promise.all([mesh.redirected(client, 'enabled'), mesh.redirected(server, 'enabled')]);
    await waitFor(async () => !(await notInMesh()).includes('shop'), { what: 'the list of namespaces' });
  });

  it('a pod that has completed is let go, though the API still has it', async () => {
    await Promise.all(client.processes.map((process) => process.stop('SIGKILL')));
    await mesh.report(client, 'Succeeded', []);
    await mesh.redirected(client, null);
    await waitFor(async () => !(await isCaptured(client)), { what: 'the end of the capture' });
    assert.equal(mesh.api.redirection(server.uid), 'enabled');
  });
});

rootSuite('running pods under a kubelet with the cgroupfs driver', () => {
  let mesh: ClusterMesh;
  before(async () => {
    mesh = await ClusterMesh.create({ places: { web: 0 }, namespaces: { shop: ambientLabel }, driver: 'cgroupfs' });
  });
  after(() => mesh.remove());

  it('are found by the names of its cgroups', async () => {
    const pod = await mesh.runPod({ namespace: 'shop', place: 'web' });
    await mesh.startAgent();
    await mesh.redirected(pod, 'enabled');
    assert.equal(await isCaptured(pod), true);
  });
});
