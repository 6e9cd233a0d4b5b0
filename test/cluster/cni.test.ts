import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, beforeEach, it } from 'node:test';

import { root } from '../support/paths.ts';
import { Cluster } from './harness/cluster.ts';
import { FakeAgent } from './harness/fake-agent.ts';
import { TestNamespace } from './harness/namespace.ts';
import type { KubernetesObject, List, Pod } from './harness/objects.ts';
import { clusterSuite } from './harness/suite.ts';
import { clientPod } from './harness/workloads.ts';

interface KubernetesEvent extends KubernetesObject {
  readonly reason: string;
  readonly message: string;
}

const chain = '/etc/cni/net.d/05-ambit.conflist';

/** The plugin in the chain of a real container runtime; the agent at its socket is the test's. */
clusterSuite('ambit-cni on a node', () => {
  let cluster: Cluster;
  let shop: TestNamespace;
  let system: TestNamespace;
  let agent: FakeAgent;

  before(async () => {
    cluster = await Cluster.attach();
    shop = await TestNamespace.create(cluster, 'cni');
    system = await TestNamespace.create(cluster, 'cni-system');
    const socket = join(await cluster.stateFolder(), 'cni.sock');
    agent = new FakeAgent(socket);
    await install(cluster, socket, system.name);
  });

  beforeEach(async () => {
    agent.answer = (): { result: 'enrolled' } => ({ result: 'enrolled' });
    await agent.close();
    await agent.listen();
  });

  after(async () => {
    await uninstall(cluster);
    await Promise.all([shop.remove(), system.remove(), agent.close()]);
  });

  /** The text of the event that tells why a pod's network was not made. */
  const whyNotStarted = (pod: string): Promise<string> =>
    cluster.until(`an event of ${pod}`, async () => {
      const events = await shop.get<List<KubernetesEvent>>([
        'events',
        '--field-selector',
        `involvedObject.name=${pod}`,
      ]);
      return events.items.find(({ reason }) => reason === 'FailedCreatePodSandBox')?.message;
    });

  it('asks the agent about a pod by its name, addresses and network namespace before it starts', async () => {
    const [pod] = (await shop.start(clientPod('asked', { node: 2 }))) as [Pod];
    const [request] = agent.about('asked', 'add');
    assert.ok(request);
    assert.deepEqual(request.pod, { namespace: shop.name, name: 'asked', uid: pod.metadata.uid });
    assert.deepEqual(
      request.addresses,
      pod.status.podIPs?.map(({ ip }) => ip),
    );
    const { stdout } = await cluster.node(2, ['stat', '--dereference', '--format', '%d %i', request.netns.path]);
    assert.equal(stdout.trim(), `${request.netns.device} ${request.netns.inode}`);
  });

  it('holds a pod back while the agent is silent, and lets it start when the agent is back', async () => {
    await agent.close();
    await shop.apply(clientPod('held', { node: 2 }));
    assert.match(await whyNotStarted('held'), /the agent of this node is silent/);
    assert.equal((await shop.get<Pod>(['pod', 'held'])).status.phase, 'Pending');
    await agent.listen();
    await shop.ready('held');
    assert.ok(agent.about('held', 'add').length > 0);
  });

  it('lets a pod of a system namespace start while the agent is silent', async () => {
    await agent.close();
    await system.start(clientPod('unasked', { node: 2 }));
  });

  it("shows the agent's refusal in the pod's events", async () => {
    agent.answer = ({ pod }): ReturnType<FakeAgent['answer']> =>
      pod.name === 'refused'
        ? { result: 'refused', code: 'pod.identity_mismatch', message: 'netns of another pod' }
        : { result: 'enrolled' };
    await shop.apply(clientPod('refused', { node: 2 }));
    assert.match(await whyNotStarted('refused'), /netns of another pod \(pod\.identity_mismatch\)/);
  });

  it('tells the agent when a pod ends, and lets it end without one', async () => {
    await shop.start(clientPod('leaves', { node: 2 }), clientPod('leaves-alone', { node: 2 }));
    await shop.kubectl(['delete', 'pod', 'leaves']);
    await cluster.until('the farewell', () => agent.about('leaves', 'delete').length > 0);
    await agent.close();
    await shop.kubectl(['delete', 'pod', 'leaves-alone']);
  });
});

/** Puts the plugin behind the node's own, as a conflist that comes before theirs. */
async function install(cluster: Cluster, socket: string, systemNamespace: string): Promise<void> {
  const primary = JSON.parse((await cluster.node(2, ['cat', '/etc/cni/net.d/10-bridge.conflist'])).stdout) as {
    readonly plugins: readonly object[];
  };
  const systemNamespaces = ['kube-system', systemNamespace];
  const plugins = [...primary.plugins, { type: 'ambit-cni', socket, limitSeconds: 2, systemNamespaces }];
  await cluster.node(2, ['cp', `${root}build/ambit-cni`, '/opt/cni/bin/ambit-cni']);
  await cluster.node(2, ['tee', chain], { input: JSON.stringify({ ...primary, name: 'ambit', plugins }) });
  await reload(cluster);
}

async function uninstall(cluster: Cluster): Promise<void> {
  await cluster.node(2, ['rm', '--force', chain, '/opt/cni/bin/ambit-cni']);
  await reload(cluster);
}

/** A start reads the configuration for certain; the watch on its folder does it at some moment. */
async function reload(cluster: Cluster): Promise<void> {
  await cluster.stopDaemon(2, 'containerd');
  await cluster.startDaemon(2, 'containerd');
  await cluster.until('the container runtime of node 2', () => cluster.node(2, ['ctr', 'version']));
}
