import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { parseMetrics, sum } from '../../support/metrics.ts';
import { endpoint } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { enforce, enforceNothing, seenBy } from '../harness/enforcement.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import type { KubernetesObject, Pod } from '../harness/objects.ts';
import { networkPolicy } from '../harness/policies.ts';
import { clusterSuite } from '../harness/suite.ts';
import { clientPod, serverPod } from '../harness/workloads.ts';

const port = 8080;
const hbone = 15008;
const joined = { 'istio.io/dataplane-mode': 'ambient' };
/** What is dropped is never answered: the engine gives its dial up after 10 s. */
const patient = ['--timeout', '15000'];

clusterSuite('network policies of a cluster with a mesh', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let web: Pod;
  let free: Pod;
  let friends: readonly Pod[];

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    shop = await TestNamespace.create(cluster, 'fenced', joined);
    const clients = ['friend', 'foe'].flatMap((name) => [
      clientPod(`${name}-1`, { node: 1, labels: { role: name } }),
      clientPod(`${name}-2`, { node: 2, labels: { role: name } }),
    ]);
    const started = await shop.start(
      serverPod('web', [`whoami@[::]:${port}`], { node: 1 }),
      serverPod('free', [`whoami@[::]:${port}`], { node: 1 }),
      ...clients,
    );
    [web, free] = started as [Pod, Pod];
    // Not the foes: a tunnel that is open goes on when a NetworkPolicy comes, as every open connection does.
    for (const { metadata } of clients.filter(({ metadata }) => metadata.name?.startsWith('friend')))
      await cluster.until(`a call of ${metadata.name ?? ''}`, async () => {
        return (await shop.call(metadata.name ?? '', endpoint(web.status.podIP ?? '', port))).ok;
      });
    friends = started.filter(({ metadata }) => metadata.labels?.['role'] === 'friend');
  });

  after(async () => {
    await enforceNothing(cluster, 1);
    await shop.remove();
  });

  const addressesOf = (pod: Pod): readonly string[] => pod.status.podIPs?.map(({ ip }) => ip) ?? [];

  /** How one call from the first friend gets to a pod of the same node. */
  async function transportTo(pod: Pod): Promise<string> {
    const count = async (): Promise<ReadonlyMap<string, number>> => {
      const samples = parseMetrics(await mesh.metrics(1));
      const query = { reporter: 'source', source_workload: 'friend-1', destination_workload: pod.metadata.name };
      return new Map(
        ['node_local', 'mutual_tls'].map((transport) => [
          transport,
          sum(samples, 'istio_tcp_connections_opened_total', { ...query, connection_security_policy: transport }),
        ]),
      );
    };
    const before = await count();
    await shop.whoami('friend-1', endpoint(pod.status.podIP ?? '', port));
    return cluster.until('the counter of the connection', async () => {
      for (const [transport, number] of await count()) if (number > (before.get(transport) ?? 0)) return transport;
      return null;
    });
  }

  function untilTransport(pod: Pod, wanted: string): Promise<true> {
    return cluster.until(
      `${pod.metadata.name} is reached by ${wanted}`,
      async () => (await transportTo(pod)) === wanted,
    );
  }

  describe('a NetworkPolicy', () => {
    before(async () => {
      assert.equal(await transportTo(web), 'node_local');
      await shop.apply(
        networkPolicy('web', {
          podSelector: { matchLabels: { app: 'web' } },
          policyTypes: ['Ingress'],
          ingress: [
            {
              from: [{ podSelector: { matchLabels: { role: 'friend' } } }],
              ports: [port, hbone].map((number) => ({ port: number, protocol: 'TCP' })),
            },
          ],
        }),
      );
      const allowed = friends.flatMap(addressesOf);
      await enforce(cluster, 1, { pod: addressesOf(web), allowed, ports: [port, hbone] });
    });

    it('puts the pods that it selects on the wire, and no others', async () => {
      await untilTransport(web, 'mutual_tls');
      assert.equal(await transportTo(free), 'node_local');
    });

    for (const node of [1, 2] as const) {
      const from = node === 1 ? 'the same node' : 'another node';
      it(`allows from ${from} what it allows, seen at port 15008 with the client’s own address`, async () => {
        for (const address of addressesOf(web)) {
          // Another tunnel for each family may be kept open from before the rules.
          assert.equal((await shop.whoami(`friend-${node}`, endpoint(address, port))).server, 'web');
        }
      });

      it(`forbids from ${from} what it forbids`, async () => {
        for (const address of addressesOf(web)) {
          const before = (await seenBy(cluster, 1)).dropped;
          const result = await shop.call(`foe-${node}`, endpoint(address, port), patient);
          assert.equal(result.ok, false);
          assert.ok((await seenBy(cluster, 1)).dropped > before);
        }
      });
    }

    it('sees nothing of the mesh at the port of the application', async () => {
      const { allowed } = await seenBy(cluster, 1);
      assert.ok((allowed.get(hbone) ?? 0) > 0);
      assert.equal(allowed.get(port), 0);
    });

    it('lets pods be joined on their node again when it is gone', async () => {
      await shop.kubectl(['delete', 'networkpolicy', 'web']);
      await untilTransport(web, 'node_local');
    });
  });

  describe('a kind of policy that only a CNI can read', () => {
    const kinds = [
      foreignKind('policy.networking.k8s.io', 'v1alpha1', 'AdminNetworkPolicy', 'Cluster'),
      foreignKind('crd.projectcalico.org', 'v1', 'GlobalNetworkPolicy', 'Cluster'),
      foreignKind('cilium.io', 'v2', 'CiliumNetworkPolicy', 'Namespaced'),
    ];
    before(async () => {
      await cluster.apply(...kinds.map(({ definition }) => definition));
      for (const { definition } of kinds)
        await cluster.kubectl(['wait', '--for', 'condition=Established', 'crd', definition.metadata.name ?? '']);
    });
    after(async () => {
      const names = kinds.map(({ definition }) => definition.metadata.name ?? '');
      await cluster.kubectl(['delete', 'crd', '--ignore-not-found', ...names]);
    });

    for (const { name, object, plural } of kinds) {
      it(`puts every pod on the wire while there is one: ${name}`, async () => {
        await shop.apply(object);
        await untilTransport(free, 'mutual_tls');
        await shop.kubectl(['delete', plural, object.metadata.name ?? '']);
        await untilTransport(free, 'node_local');
      });
    }

    it('puts every pod on the wire if we know only that it exists', async () => {
      const { definition } = foreignKind('example.com', 'v1', 'PlanetNetworkPolicy', 'Cluster');
      await cluster.apply(definition);
      await untilTransport(free, 'mutual_tls');
      await cluster.kubectl(['delete', 'crd', definition.metadata.name ?? '']);
      await untilTransport(free, 'node_local');
    });
  });
});

interface ForeignKind {
  readonly name: string;
  readonly plural: string;
  readonly definition: KubernetesObject;
  readonly object: KubernetesObject;
}

function foreignKind(group: string, version: string, kind: string, scope: 'Cluster' | 'Namespaced'): ForeignKind {
  const plural = `${kind.toLowerCase().slice(0, -1)}ies`;
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  return {
    name: kind,
    plural: `${plural}.${group}`,
    definition: {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: {
        name: `${plural}.${group}`,
        // Kubernetes’ own groups ask for it.
        annotations: { 'api-approved.kubernetes.io': 'unapproved, stands for the real one in a test' },
      },
      spec: {
        group,
        scope,
        names: { plural, singular: kind.toLowerCase(), kind, listKind: `${kind}List` },
        versions: [{ name: version, served: true, storage: true, schema }],
      },
    },
    object: { apiVersion: `${group}/${version}`, kind, metadata: { name: 'some' } },
  };
}
