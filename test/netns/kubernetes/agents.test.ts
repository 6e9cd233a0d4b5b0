import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';

import type { Agent } from '../../support/agent.ts';
import { pinsOf } from '../../support/kernel-state.ts';
import { ClusterMesh, isCaptured } from '../../support/kube/cluster-mesh.ts';
import type { ClusterPod } from '../../support/kube/cluster-mesh.ts';
import { ambientLabel } from '../../support/manifests.ts';
import { ambitBinary } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, hold, storm } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

rootSuite('agents of a node that come and go', () => {
  let mesh: ClusterMesh;
  let agent: Agent;
  let client: ClusterPod;
  let server: ClusterPod;
  before(async () => {
    const places = { client: 0, server: 0, late: 0, unlabelled: 0 };
    mesh = await ClusterMesh.create({ places, namespaces: { shop: ambientLabel, outside: {} } });
    agent = await mesh.startAgent();
    client = await mesh.startPod({ namespace: 'shop', place: 'client' });
    server = await mesh.startPod({ namespace: 'shop', place: 'server' });
    await mesh.serve(server, ['whoami@[::]:8080', 'echo@[::]:8081']);
    await mesh.reaches(client, server, 8080);
  });
  after(() => mesh.remove());

  function installed(): Promise<readonly string[]> {
    const { bin, conf } = mesh.cniFolders(0);
    return Promise.all([readdir(bin), readdir(conf)]).then((names) => names.flat().sort());
  }

  async function agentStarted(): Promise<number> {
    const text = await readFile(join(mesh.cniFolders(0).conf, '00-ambit.conflist'), 'utf8');
    return Number(/"agentStarted": (\d+)/.exec(text)?.[1]);
  }

  it('two that overlap lose no new connection and no new pod', async () => {
    const first = await agentStarted();
    const storming = storm(client.netns, [server.at(8081), '--duration', '8000', '--clients', '2']);
    const next = await mesh.launchAgent(0, 'successor');
    await next.ready();
    await waitFor(async () => (await agentStarted()) > first, { what: 'the configuration of the successor' });
    const late = await mesh.createPod({ namespace: 'shop', place: 'late' });
    const added = mesh.addNetwork(late);
    const { code } = await agent.stop('SIGTERM');
    assert.equal(code, 0);
    agent = next;
    assert.equal((await added).ok, true);
    assert.equal(await isCaptured(late), true);
    const { failures, connections } = await storming;
    assert.deepEqual(failures, {});
    assert.ok(connections > 100, `${connections} connections`);
    assert.equal(mesh.api.redirection(server.uid), 'enabled');
    await mesh.runSandbox(late);
    await mesh.deletePod(late);
  });

  it('while the API server is away everything goes on, and when it is back what has changed is made up for, without a rush', async () => {
    const held = await hold(client.netns, [server.at(8081)]);
    mesh.api.setAway(true);
    const seen = mesh.api.server.requests.length;
    const before = mesh.api.refused;
    await mesh.labelNamespace('outside', ambientLabel);
    const joining = await mesh.runPod({ namespace: 'outside', place: 'unlabelled' });
    const started = Date.now();
    await waitFor(() => mesh.api.refused - before >= 6, { what: 'attempts to reach it', timeout: 60_000 });
    const seconds = (Date.now() - started) / 1000;
    assert.ok(seconds > 1, `six attempts within ${seconds} s`);
    assert.equal((await call(client.netns, server.at(8080))).ok, true);
    held.write('exchange 0 1000\n');
    assert.match(await held.line((line) => line.includes('"exchange"')), /"error":null/);
    assert.equal(mesh.api.redirection(joining.uid), null);
    mesh.api.setAway(false);
    await waitFor(() => mesh.api.redirection(joining.uid) === 'enabled', {
      what: 'the pod that joined',
      timeout: 60_000,
    });
    // A list and a watch of each of the three kinds at most, and what is written of the one pod.
    assert.ok(mesh.api.server.requests.length - seen <= 8, `${mesh.api.server.requests.length - seen} requests`);
    await mesh.deletePod(joining);
    await mesh.labelNamespace('outside', {});
  });

  it('one that is restarted leaves everything in place, closed', async () => {
    const before = await installed();
    await agent.stop('SIGTERM');
    assert.deepEqual(await installed(), before);
    assert.equal(mesh.api.redirection(server.uid), 'enabled');
    assert.equal((await call(client.netns, server.at(8080))).error, 'ECONNREFUSED');
    agent = await mesh.startAgent();
    await mesh.reaches(client, server, 8080);
  });

  const ends = {
    'its DaemonSet is gone': null,
    'its DaemonSet is not for the node any more': { nodeSelector: { 'kubernetes.io/os': 'windows' } },
  } as const;
  for (const [why, template] of Object.entries(ends)) {
    it(`one that ends because ${why} leaves the node as it was, and no pod that says otherwise`, async () => {
      mesh.api.putDaemonSet(template);
      const { code } = await agent.stop('SIGTERM');
      assert.equal(code, 0);
      assert.deepEqual(await installed(), ['10-rig.conflist']);
      for (const pod of [client, server]) {
        assert.equal(mesh.api.redirection(pod.uid), null);
        assert.equal(await isCaptured(pod), false);
      }
      assert.equal(existsSync(pinsOf(mesh.rig.node(0).name)), false);
      assert.equal((await call(client.netns, server.at(8080))).ok, true);
      mesh.api.putDaemonSet({});
      agent = await mesh.startAgent();
      await Promise.all([mesh.redirected(client, 'enabled'), mesh.redirected(server, 'enabled')]);
    });
  }

  it('`ambit detach` takes out what a killed one left, by the node’s /proc', async () => {
    await agent.stop('SIGKILL');
    await exec([ambitBinary, 'detach', '--node', mesh.rig.node(0).name, '--host-proc', '/proc']);
    assert.equal(await isCaptured(client), false);
    assert.equal((await call(client.netns, server.at(8080))).ok, true);
  });

  it('one whose rights go together with its DaemonSet leaves the node as it was all the same', async () => {
    agent = await mesh.startAgent();
    await mesh.redirected(client, 'enabled');
    mesh.api.putDaemonSet(null);
    mesh.api.deny();
    const { code } = await agent.stop('SIGTERM');
    assert.equal(code, 0);
    assert.deepEqual(await installed(), ['10-rig.conflist']);
    assert.equal(await isCaptured(client), false);
    assert.match(agent.log(), /not every pod could be let go, or be told so/);
  });
});
