import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { parseMetrics, sum } from '../../support/metrics.ts';
import { endpoint, wasReset } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import type { KubernetesObject, Pod } from '../harness/objects.ts';
import { clusterSuite } from '../harness/suite.ts';
import { clientPod, serverPod } from '../harness/workloads.ts';

const port = 8080;
const servers = [`whoami@[::]:${port}`];
const node = 2;

const account = (name: string): KubernetesObject => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } });

clusterSuite('an address that another pod has now', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let outside: TestNamespace;
  let web: string;

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    shop = await TestNamespace.create(cluster, 'reused', { 'istio.io/dataplane-mode': 'ambient' });
    outside = await TestNamespace.create(cluster, 'outside');
    await shop.apply(account('friend'), account('other'), {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'friends-only' },
      spec: {
        selector: { matchLabels: { app: 'web' } },
        action: 'ALLOW',
        rules: [{ from: [{ source: { principals: [`cluster.local/ns/${shop.name}/sa/friend`] } }] }],
      },
    });
    const [server] = await shop.start(serverPod('web', servers, { node: 1 }), clientPod('near', { node: 1 }));
    web = endpoint(server?.status.podIP ?? '', port);
  });

  after(() => Promise.all([shop.remove(), outside.remove()]));

  /** Starts a pod that gets the address of one that it replaces: the CNI gives out the next free one after the last. */
  const succeed = async (former: Pod, namespace: TestNamespace, successor: KubernetesObject): Promise<Pod> => {
    const address = former.status.podIP ?? '';
    await cluster.kubectl(['--namespace', former.metadata.namespace, 'delete', 'pod', former.metadata.name]);
    const folder = '/var/lib/cni/networks/bridge';
    await cluster.until(`the CNI to have ${address} back`, async () => {
      const { code } = await cluster.node(node, ['test', '-e', `${folder}/${address}`], { anyStatus: true });
      return code === 1;
    });
    const last = address.replace(/\d+$/, (digits) => String(Number(digits) - 1));
    // The bridge plugin does not announce the new owner of an address, so the node would send to the former for half a minute.
    const forget = `printf %s ${last} > ${folder}/last_reserved_ip.0; ip neighbour flush dev cni0`;
    await cluster.node(node, ['sh', '-c', forget]);
    const [pod] = await namespace.start(successor);
    assert.equal(pod?.status.podIP, address);
    return pod;
  };

  it('is not reached through the tunnel to the pod that had it', async () => {
    const [old] = await shop.start(serverPod('old', servers, { node }));
    assert.ok(old !== undefined);
    const address = endpoint(old.status.podIP ?? '', port);
    assert.equal((await shop.whoami('near', address)).server, 'old');
    const plain = await succeed(old, outside, serverPod('plain', servers, { node }));
    assert.equal((await shop.whoami('near', address)).server, 'plain');
    await succeed(plain, shop, serverPod('young', servers, { node, serviceAccount: 'other' }));
    assert.equal((await shop.whoami('near', address)).server, 'young');
  });

  it('is given up without a word of tampering, although the runtime takes down what is ours, too', async () => {
    const tampered = async (): Promise<number> => sum(parseMetrics(await mesh.metrics(node)), 'ambit_tampering_total');
    const before = await tampered();
    const [brief] = await shop.start(serverPod('brief', servers, { node }));
    assert.ok(brief !== undefined);
    await succeed(brief, shop, serverPod('next', servers, { node }));
    assert.equal(await tampered(), before);
  });

  it('does not give the permissions of the pod that had it', async () => {
    const [friend] = await shop.start(clientPod('friend', { node, serviceAccount: 'friend' }));
    assert.ok(friend !== undefined);
    assert.equal((await shop.whoami('friend', web)).server, 'web');
    const other = await succeed(friend, shop, clientPod('other', { node, serviceAccount: 'other' }));
    assert.ok(wasReset(await shop.call('other', web)));
    const stranger = await succeed(other, outside, clientPod('stranger', { node }));
    assert.ok(wasReset(await outside.call('stranger', web)));
    await succeed(stranger, shop, clientPod('friend', { node, serviceAccount: 'friend' }));
    assert.equal((await shop.whoami('friend', web)).server, 'web');
  });
});
