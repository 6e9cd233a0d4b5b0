import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, it } from 'node:test';

import { root } from '../../support/paths.ts';
import type { Running } from '../../support/processes.ts';
import { wasReset } from '../../support/testkit.ts';
import { Births } from '../harness/births.ts';
import { Cluster } from '../harness/cluster.ts';
import { startFarAndNear } from '../harness/far-and-near.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import type { Pod } from '../harness/objects.ts';
import { clusterSuite } from '../harness/suite.ts';

const nodes = [1, 2];
const otherVersion = '99.1.2';
/** Of the 25 s that open connections may go on for, with room for a busy machine. */
const drainProvenMs = 15_000;

clusterSuite('an upgrade of the agents', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let plain: TestNamespace;
  let web: string;
  let echo: string;
  let plugin: string;

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    [shop, plain] = await Promise.all([
      TestNamespace.create(cluster, 'upgrade', { 'istio.io/dataplane-mode': 'ambient' }),
      TestNamespace.create(cluster, 'plain'),
    ]);
    ({ web, echo } = await startFarAndNear(shop, plain));
    plugin = await pluginOf(1);
    await providePackage();
  });

  after(async () => {
    await goBack();
    await mesh.kubectl(['delete', 'configmap', 'other-version', '--ignore-not-found']);
    await Promise.all([shop.remove(), plain.remove()]);
  });

  /** Where an agent reads its version; the image is the same. */
  const providePackage = async (): Promise<void> => {
    const own = JSON.parse(await readFile(`${root}package.json`, 'utf8')) as object;
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'other-version', namespace: 'istio-system' },
      data: { 'package.json': JSON.stringify({ ...own, version: otherVersion }) },
    });
  };

  /** @param change of what makes an agent another version: nothing, or its removal */
  const replaceAgents = async (change: object): Promise<void> => {
    const mount = { name: 'other-version', mountPath: '/opt/ambit/package.json', subPath: 'package.json', ...change };
    const volume = { name: 'other-version', configMap: { name: 'other-version' }, ...change };
    const spec = { volumes: [volume], containers: [{ name: 'istio-proxy', volumeMounts: [mount] }] };
    await mesh.kubectl(['patch', 'daemonset', 'ztunnel', '--patch', JSON.stringify({ spec: { template: { spec } } })]);
    await mesh.untilAgentsServe();
  };

  const upgrade = (): Promise<void> => replaceAgents({});

  const goBack = (): Promise<void> => replaceAgents({ $patch: 'delete' });

  /** The binary that the node's CNI configuration names. */
  const pluginOf = async (node: number): Promise<string> => {
    const { stdout } = await cluster.node(node, ['cat', '/etc/cni/net.d/00-ambit.conflist']);
    return /"type": ?"(ambit-cni-[^"]+)"/.exec(stdout)?.[1] ?? 'none';
  };

  const untilPlugin = (name: string): Promise<unknown> =>
    cluster.until(`${name} in the CNI configuration of each node`, async () =>
      (await Promise.all(nodes.map(pluginOf))).every((found) => found === name),
    );

  /** Pods are born all the time meanwhile, on both nodes; each one connects as the first thing that it does. */
  const whilePodsAreBorn = async (work: () => Promise<void>): Promise<void> => {
    const births = Births.start(shop, web, nodes);
    try {
      await work();
    } finally {
      await births.stop();
    }
    const first = await births.firstCalls();
    const failed = Object.entries(first).filter(([, { ok }]) => !ok);
    console.log(`${Object.keys(first).length} pods were born meanwhile`);
    assert.ok(Object.keys(first).length >= 6);
    assert.deepEqual(failed, [], (await mesh.failuresIn(shop.name)).join('\n'));
    // That they were answered means something: who is outside the mesh is not.
    assert.ok(wasReset(await plain.call('stranger', web)));
  };

  /**
   * Bytes there and back, again and again, until the first of the agents that carry them has been at its end for a while.
   *
   * @returns how often by then
   */
  const exchangeUntilDrained = async (running: Running, carriers: readonly Pod[]): Promise<number> => {
    let endsSince: number | null = null;
    for (let exchanges = 0; ; exchanges++) {
      const live = await mesh.agents();
      const found = carriers.map((one) => live.find(({ metadata }) => metadata.uid === one.metadata.uid));
      if (found.some((agent) => agent?.metadata.deletionTimestamp !== undefined)) endsSince ??= Date.now();
      if (endsSince !== null && Date.now() - endsSince > drainProvenMs) return exchanges;
      assert.ok(!found.includes(undefined), 'an agent has gone before its time');
      assert.deepEqual(await exchange(running), { event: 'exchange', id: 0, bytes: 4096, end: 'open', error: null });
    }
  };

  it('starts no pod outside the mesh', async () => {
    await whilePodsAreBorn(upgrade);
    assert.ok(await untilPlugin(`ambit-cni-${otherVersion}`));
  });

  it('starts no pod outside the mesh on the way back, and keeps what is open while the former agent is there', async () => {
    const [ofServer, ofFar] = await Promise.all([mesh.agentOn(1), mesh.agentOn(2)]);
    const held = await Promise.all(['near', 'far'].map((client) => shop.hold(client, [echo])));
    const carriers = [[ofServer], [ofServer, ofFar]];
    const proven = Promise.all(held.map((running, index) => exchangeUntilDrained(running, carriers[index] ?? [])));
    await Promise.all([whilePodsAreBorn(goBack), proven]);
    console.log(`exchanges over connections that were open before: ${(await proven).join(', ')}`);
    await Promise.all(held.map((running) => running.stop()));
    assert.ok(await untilPlugin(plugin));
    for (const node of nodes) {
      const { stdout } = await cluster.node(node, ['ls', '/opt/cni/bin']);
      assert.ok(!stdout.includes(`ambit-cni-${otherVersion}`), stdout);
    }
  });
});

async function exchange(running: Running): Promise<unknown> {
  const earlier = running.lines.length;
  running.write('exchange 0 4096\n');
  return JSON.parse(await running.line((line) => running.lines.indexOf(line, earlier) >= 0, 30_000));
}
