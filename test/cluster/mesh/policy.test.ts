import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';

import { parseMetrics, sum } from '../../support/metrics.ts';
import { root, testkitBinary } from '../../support/paths.ts';
import { endpoint, wasReset } from '../../support/testkit.ts';
import type { CallResult } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import type { KubernetesObject, Pod } from '../harness/objects.ts';
import { authorizationPolicy, fromAccounts, serviceAccount, strict } from '../harness/policies.ts';
import { clusterSuite } from '../harness/suite.ts';
import { clientPod, serverPod, testkitImage } from '../harness/workloads.ts';

const port = 8080;
const probed = { http: 8081, tcp: 8082, grpc: 8083 };
const joined = { 'istio.io/dataplane-mode': 'ambient' };

clusterSuite('policy of a mesh in a cluster', () => {
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
    // STRICT is there before the pods: that they become ready at all is the work of passed probes.
    await shop.apply(strict(), serviceAccount('friend'), serviceAccount('foe'));
    const clients = ([1, 2] as const).flatMap((node) =>
      ['friend', 'foe'].map((account) => clientPod(`${account}-${node}`, { node, serviceAccount: account })),
    );
    const [started] = await Promise.all([
      shop.start(await probedServer('web'), ...clients),
      outside.start(clientPod('near', { node: 1 }), clientPod('far', { node: 2 }), hostPod('host')),
    ]);
    web = started[0] as Pod;
    // What fails from here on fails by policy, and not for a certificate that is still to come.
    for (const name of ['friend-1', 'friend-2', 'foe-1', 'foe-2'])
      await cluster.until(`a call of ${name}`, async () => (await shop.call(name, at(port))).ok);
  });

  after(async () => {
    await Promise.all([shop.remove(), outside.remove()]);
  });

  const at = (number: number, family = 0): string => endpoint(web.status.podIPs?.[family]?.ip ?? '', number);

  describe('STRICT', () => {
    for (const client of ['near', 'far'] as const) {
      it(`refuses plain text of a pod ${client === 'near' ? 'on the same node' : 'from another node'}`, async () => {
        for (const family of [0, 1] as const) {
          const result = await outside.call(client, at(port, family));
          assert.ok(wasReset(result), JSON.stringify(result));
        }
      });
    }

    it('lets pods of the mesh in', async () => {
      for (const client of ['friend-1', 'friend-2']) assert.equal((await shop.whoami(client, at(port))).server, 'web');
    });

    it('lets the kubelet’s HTTP, TCP and gRPC probes through, again and again', async () => {
      const passed = async (): Promise<number> =>
        sum(parseMetrics(await mesh.metrics(1)), 'ambit_intercept_events_total', { event: 'probe_passed' });
      const before = await passed();
      await cluster.until('a dozen more probes that passed', async () => (await passed()) >= before + 12);
      const pod = await shop.get<Pod>(['pod', 'web']);
      assert.deepEqual(
        pod.status.containerStatuses?.map(({ name, ready, restartCount }) => ({ name, ready, restartCount })),
        ['grpc', 'http', 'main'].map((name) => ({ name, ready: true, restartCount: 0 })),
      );
    });

    it('lets a process of the node reach the ports that probes name, and no other', async () => {
      const fromNode = async (number: number): Promise<CallResult> => {
        const command = [testkitBinary, 'call', at(number), '--send', 'hello', '--until', 'bytes'];
        return JSON.parse((await cluster.node(1, command, { anyStatus: true })).stdout) as CallResult;
      };
      assert.equal((await fromNode(probed.tcp)).text, 'hello');
      const refused = await fromNode(port);
      assert.ok(wasReset(refused), JSON.stringify(refused));
    });

    it('lets nobody else reach a probed port without an identity: not a pod, nor a pod in the network of the node', async () => {
      for (const client of ['near', 'far', 'host'])
        for (const number of Object.values(probed)) {
          const result = await outside.call(client, at(number), ['--send', 'GET / HTTP/1.0\r\n\r\n']);
          assert.ok(wasReset(result), `${client} to ${number}: ${JSON.stringify(result)}`);
        }
    });
  });

  describe('an AuthorizationPolicy', () => {
    const policy = 'friends-only';

    it('closes what is open and now denied, and nothing else', async () => {
      const pods = ['friend-1', 'foe-1', 'friend-2', 'foe-2'];
      const held = await Promise.all(pods.map((pod) => shop.hold(pod, [at(probed.tcp)])));
      const watched = held.map(async (running, index) => {
        running.write(index % 2 === 0 ? 'watch 1 8000\n' : 'watch 1 30000\n');
        const line = await running.line((text) => text.includes('"watch"'), 40_000);
        return (JSON.parse(line) as { readonly ended: number }).ended;
      });
      await shop.apply(authorizationPolicy(policy, allowing('friend')));
      assert.deepEqual(await Promise.all(watched), [0, 1, 0, 1]);
      await Promise.all(held.map((running) => running.finish()));
    });

    for (const node of [1, 2] as const) {
      it(`lets in whom it names and refuses others ${node === 1 ? 'on the same node' : 'from another node'}`, async () => {
        for (const family of [0, 1] as const) {
          assert.equal((await shop.whoami(`friend-${node}`, at(port, family))).server, 'web');
          const result = await shop.call(`foe-${node}`, at(port, family));
          assert.ok(wasReset(result), JSON.stringify(result));
        }
        const foe = `src.identity="spiffe://cluster.local/ns/${shop.name}/sa/foe"`;
        const refused = await cluster.until('the log line of the refusal', async () =>
          (await mesh.logged(1, foe)).find((line) => line.includes('direction="inbound"') && line.includes('error=')),
        );
        assert.match(refused, /policy/);
      });
    }

    it('says of itself that it is in force', async () => {
      await statusOf(policy, ({ status, reason }) => status === 'True' && reason === 'Accepted');
    });

    it('says in its status what of it is not honoured, and who says so', async () => {
      const name = 'reads-http';
      const rules = [{ to: [{ operation: { methods: ['GET'] } }] }];
      const selector = { matchLabels: { app: 'nobody' } };
      await shop.apply(authorizationPolicy(name, { selector, action: 'ALLOW', rules }));
      const { message } = await statusOf(name, ({ status }) => status === 'False');
      assert.match(message ?? '', /methods/);
      const { metadata } = await shop.get<Managed>(['authorizationpolicy', name, '--show-managed-fields']);
      const manager = metadata.managedFields.find(({ subresource }) => subresource === 'status');
      assert.deepEqual([manager?.manager, manager?.operation], ['ambit-control', 'Apply']);
    });

    it('ends with the policy', async () => {
      await shop.kubectl(['delete', 'authorizationpolicy', policy]);
      await cluster.until('the foe gets in', async () => (await shop.call('foe-2', at(port))).ok);
      assert.equal((await shop.whoami('foe-1', at(port))).server, 'web');
    });
  });

  describe('a policy that cannot be read', () => {
    const name = 'misspelt';
    const wrong = authorizationPolicy(name, {
      selector: { matchLabels: { app: 'web' } },
      action: 'ALLOW',
      rules: [{ from: [{ source: { ipBlocks: ['10.0.0.0/99'] } }] }],
    });

    it('is refused, and whoever writes it is told what is wrong where', async () => {
      const { code, stderr } = await attempt(shop, wrong);
      assert.notEqual(code, 0);
      assert.match(stderr, /validation\.ambit\.dev/);
      assert.match(stderr, /spec\.rules\.0\.from\.0\.source\.ipBlocks\.0: must be an address or a CIDR block/);
    });

    it('closes what it selects, when it came while the control plane was away', async () => {
      await mesh.kubectl(['scale', 'deployment', 'istiod', '--replicas', '0']);
      try {
        await cluster.until('the end of the control plane', async () => (await controlPods(mesh)) === '');
        const { code, stderr } = await attempt(shop, wrong);
        assert.equal(code, 0, stderr);
        assert.equal((await shop.whoami('friend-2', at(port))).server, 'web');
      } finally {
        await mesh.kubectl(['scale', 'deployment', 'istiod', '--replicas', '1']);
      }
      await mesh.kubectl(['rollout', 'status', 'deployment', 'istiod', '--timeout', '60s']);
      const { message } = await statusOf(name, ({ status, reason }) => status === 'False' && reason === 'Invalid');
      assert.match(message ?? '', /ipBlocks/);
      await cluster.until('the friend is refused', async () => wasReset(await shop.call('friend-2', at(port))));
      assert.ok(wasReset(await shop.call('friend-1', at(port))));
    });

    it('frees what it selected when it is mended', async () => {
      await shop.apply(authorizationPolicy(name, allowing('friend')));
      await cluster.until('the friend gets in', async () => (await shop.call('friend-2', at(port))).ok);
      await statusOf(name, ({ status }) => status === 'True');
      assert.ok(wasReset(await shop.call('foe-1', at(port))));
    });
  });

  const allowing = (account: string): Readonly<Record<string, unknown>> => ({
    selector: { matchLabels: { app: 'web' } },
    action: 'ALLOW',
    rules: fromAccounts(shop.name, account),
  });

  /** Waits until the condition of our own type is such. */
  async function statusOf(name: string, fits: (condition: ApiCondition) => boolean): Promise<ApiCondition> {
    return cluster.until(`the status of ${name}`, async () => {
      const policy = await shop.get<WithStatus>(['authorizationpolicy', name]);
      const own = policy.status?.conditions?.find(({ type }) => type === 'ZtunnelAccepted');
      if (own === undefined || !fits(own)) throw new Error(JSON.stringify(policy.status));
      return own;
    });
  }
});

interface ApiCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message?: string;
}

interface WithStatus extends KubernetesObject {
  readonly status?: { readonly conditions?: readonly ApiCondition[] };
}

interface Managed {
  readonly metadata: {
    readonly managedFields: readonly {
      readonly manager: string;
      readonly operation: string;
      readonly subresource?: string;
    }[];
  };
}

/** As somebody who writes manifests would, and may be refused. */
function attempt({ cluster, name }: TestNamespace, object: KubernetesObject) {
  const placed = { ...object, metadata: { namespace: name, ...object.metadata } };
  return cluster.tryKubectl(['apply', '--filename', '-'], { input: JSON.stringify(placed), anyStatus: true });
}

function controlPods(mesh: InstalledMesh): Promise<string> {
  return mesh.kubectl(['get', 'pods', '--selector', 'app=istiod', '--output', 'name']);
}

/** Serves at `port`, and for each kind of probe at a port of its own, by a container each. */
async function probedServer(name: string): Promise<KubernetesObject> {
  const page = `mkdir /tmp/page && echo here >/tmp/page/index.html && exec httpd -f -p ${probed.http} -h /tmp/page`;
  const script = await readFile(`${root}dist/test/cluster/programs/grpc-health.js`, 'utf8');
  const often = { periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 10 };
  const server = serverPod(name, [`whoami@[::]:${port}`, `echo@[::]:${probed.tcp}`], {
    node: 1,
    container: { ...probes({ tcpSocket: { port: probed.tcp }, ...often }) },
  });
  const spec = server['spec'] as { readonly containers: readonly object[] };
  const http = {
    name: 'http',
    image: testkitImage,
    imagePullPolicy: 'Never',
    command: ['/bin/sh', '-c', page],
    ...probes({ httpGet: { path: '/', port: probed.http }, ...often }),
  };
  const grpc = {
    name: 'grpc',
    image: 'ambit.local/ambit:dev',
    imagePullPolicy: 'Never',
    // Where the modules of the image are looked for.
    workingDir: '/opt/ambit',
    command: ['/usr/local/bin/node', '--input-type=module', '--eval', script, String(probed.grpc)],
    ...probes({ grpc: { port: probed.grpc }, ...often }),
  };
  return { ...server, spec: { ...spec, containers: [...spec.containers, http, grpc] } };
}

function probes(probe: object): object {
  return { readinessProbe: probe, livenessProbe: probe };
}

/** A pod in the network of its node: without an address of its own, but not the node either. */
function hostPod(name: string): KubernetesObject {
  return clientPod(name, { node: 1, spec: { hostNetwork: true } });
}
