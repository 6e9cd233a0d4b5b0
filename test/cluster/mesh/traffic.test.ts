import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { testkitBinary } from '../../support/paths.ts';
import { endpoint, whoIn } from '../../support/testkit.ts';
import type { CallResult } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import type { KubernetesObject, Pod } from '../harness/objects.ts';
import { clusterSuite } from '../harness/suite.ts';
import { clientPod, serverPod, service } from '../harness/workloads.ts';

const port = 8080;
const joined = { 'istio.io/dataplane-mode': 'ambient' };

interface ServiceObject extends KubernetesObject {
  readonly spec: {
    readonly clusterIPs: readonly string[];
    readonly ports: readonly { readonly nodePort?: number }[];
  };
}

clusterSuite('traffic of a mesh in a cluster', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let outside: TestNamespace;
  let web: Pod;

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    shop = await TestNamespace.create(cluster, 'shop', joined);
    outside = await TestNamespace.create(cluster, 'outside');
    await shop.apply(service('web', 'web', [port]));
    await shop.apply(service('headless', 'web', [port], { clusterIP: 'None' }));
    await shop.apply(service('door', 'web', [port], { type: 'NodePort' }));
    const [started] = await Promise.all([
      shop.start(
        serverPod('web', [`whoami@[::]:${port}`], { node: 1 }),
        clientPod('near', { node: 1 }),
        clientPod('far', { node: 2 }),
      ),
      outside.start(clientPod('stranger', { node: 2 }), serverPod('plain', [`whoami@[::]:${port}`], { node: 1 })),
    ]);
    web = started[0] as Pod;
  });

  after(async () => {
    await Promise.all([shop.remove(), outside.remove()]);
  });

  const vips = async (name: string): Promise<ServiceObject['spec']> =>
    (await shop.get<ServiceObject>(['service', name])).spec;

  it('says on each pod that it is captured', async () => {
    const pods = (await shop.get<{ readonly items: readonly Pod[] }>(['pods'])).items;
    assert.deepEqual(
      pods.map(({ metadata }) => metadata.annotations?.['ambient.istio.io/redirection']),
      ['enabled', 'enabled', 'enabled'],
    );
  });

  for (const [client, node, transport] of [
    ['near', 1, 'node_local'],
    ['far', 2, 'mutual_tls'],
  ] as const) {
    describe(`from a pod on the ${client === 'near' ? 'same' : 'other'} node`, () => {
      it('reaches both addresses of a pod, which sees the client’s own', async () => {
        for (const { ip } of web.status.podIPs ?? []) {
          const who = await shop.whoami(client, endpoint(ip, port));
          const own = (await shop.get<Pod>(['pod', client])).status.podIPs?.map((address) => address.ip) ?? [];
          assert.equal(who.server, 'web');
          assert.ok(
            own.some((address) => who.peer.replace(/^\[|\]?:\d+$/g, '') === address),
            `${who.peer} is none of ${own.join(', ')}`,
          );
        }
      });

      it('reaches a Service by its address and by its name', async () => {
        for (const address of (await vips('web')).clusterIPs)
          assert.equal((await shop.whoami(client, endpoint(address, port))).server, 'web');
        const named = await shop.exec(client, ['timeout', '5', 'nc', `web.${shop.name}`, String(port)], {
          input: 'hello\n',
          anyStatus: true,
        });
        assert.match(named.stdout, /"server":"web"/);
      });

      it(`counts and logs it as ${transport}`, async () => {
        await cluster.until('the counter of that transport', async () => {
          const text = await mesh.metrics(node);
          const line = text
            .split('\n')
            .find(
              (candidate) =>
                candidate.startsWith('istio_tcp_connections_opened_total{') &&
                candidate.includes('reporter="source"') &&
                candidate.includes(`source_workload="${client}"`) &&
                candidate.includes('destination_workload="web"') &&
                candidate.includes(`connection_security_policy="${transport}"`),
            );
          return line !== undefined;
        });
        const lines = await mesh.logged(node, `src.workload="${client}" src.namespace="${shop.name}"`);
        assert.ok(
          lines.some((line) => line.includes(`dst.identity="spiffe://cluster.local/ns/${shop.name}/sa/default"`)),
        );
      });
    });
  }

  it('reaches the pods behind a headless Service', async () => {
    const { stdout } = await shop.exec('far', ['nslookup', `headless.${shop.name}.svc.cluster.local`], {
      anyStatus: true,
    });
    assert.ok(stdout.includes(web.status.podIP ?? ''), stdout);
    assert.equal((await shop.whoami('far', endpoint(web.status.podIP ?? '', port))).server, 'web');
  });

  it('is reached through a NodePort, from outside and from both nodes', async () => {
    const nodePort = (await vips('door')).ports[0]?.nodePort ?? 0;
    for (const address of ['10.77.0.1', '10.77.0.2']) {
      const { stdout } = await cluster.outside([testkitBinary, 'call', endpoint(address, nodePort)]);
      assert.equal(whoIn(JSON.parse(stdout) as CallResult).server, 'web');
    }
  });

  it('is reached in plain text by a pod outside the mesh, while nothing is strict', async () => {
    const who = await outside.whoami('stranger', endpoint(web.status.podIP ?? '', port));
    assert.equal(who.server, 'web');
  });

  it('reaches pods outside the mesh and machines outside the cluster in plain text', async () => {
    const [plain] = await outside.pods('app=plain');
    assert.equal((await shop.whoami('far', endpoint(plain?.status.podIP ?? '', port))).server, 'plain');
    const lines = await mesh.logged(2, `dst.addr=${plain?.status.podIP ?? ''}:${port}`);
    assert.ok(lines.length > 0);
  });
});
