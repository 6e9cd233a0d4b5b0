import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';

import { testkitBinary } from '../support/paths.ts';
import { endpoint } from '../support/testkit.ts';
import type { CallResult, WhoAnswer } from '../support/testkit.ts';
import { Cluster, helm } from './harness/cluster.ts';
import { TestNamespace } from './harness/namespace.ts';
import { holds } from './harness/objects.ts';
import type { Condition, List, Pod } from './harness/objects.ts';
import { clusterSuite } from './harness/suite.ts';
import { clientPod, podSpec, serverPod, service } from './harness/workloads.ts';

interface Node {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly podCIDRs?: readonly string[] };
  readonly status: {
    readonly conditions: readonly Condition[];
    readonly nodeInfo: { readonly kubeletVersion: string };
  };
}
interface TokenReview {
  readonly status: {
    readonly authenticated?: boolean;
    readonly user?: { readonly username: string };
    readonly audiences?: readonly string[];
    readonly error?: string;
  };
}
interface ServiceObject {
  readonly spec: { readonly clusterIPs: readonly string[]; readonly ports: readonly { readonly nodePort: number }[] };
}

const servers = ['whoami@[::]:8080'];

/** The cluster without a mesh does what every other test takes for granted. */
clusterSuite('the test cluster', () => {
  let cluster: Cluster;
  let shop: TestNamespace;
  let near: Pod;
  let far: Pod;

  before(async () => {
    cluster = await Cluster.attach();
    shop = await TestNamespace.create(cluster, 'platform');
    await shop.apply(
      service('web', 'web', [8080], { ipFamilyPolicy: 'PreferDualStack' }),
      service('web-headless', 'web', [8080], { clusterIP: 'None' }),
      service('web-outside', 'web', [8080], { type: 'NodePort' }),
    );
    [near, far] = (await shop.start(
      serverPod('web-1', servers, { node: 1, labels: { app: 'web' } }),
      serverPod('web-2', servers, { node: 2, labels: { app: 'web' } }),
      clientPod('client-1', { node: 1 }),
      clientPod('client-2', { node: 2 }),
    )) as [Pod, Pod, Pod, Pod];
  });

  after(() => shop.remove());

  const serviceAddress = async (name: string): Promise<ServiceObject> => shop.get(['service', name]);
  const answerers = async (ask: () => Promise<WhoAnswer>): Promise<Set<string>> => {
    const seen = new Set<string>();
    for (let n = 0; n < 30 && seen.size < 2; n++) seen.add((await ask()).server);
    return seen;
  };

  it('has two ready nodes with pod ranges of both families', async () => {
    const { items } = await cluster.get<List<Node>>(['nodes']);
    assert.deepEqual(
      items.map((node) => [node.metadata.name, holds(node.status.conditions, 'Ready'), node.spec.podCIDRs]),
      [
        ['node-1', true, ['10.244.1.0/24', 'fd00:244:0:1::/64']],
        ['node-2', true, ['10.244.2.0/24', 'fd00:244:0:2::/64']],
      ],
    );
    assert.deepEqual([...new Set(items.map((node) => node.status.nodeInfo.kubeletVersion))], ['v1.34.4']);
  });

  for (const family of ['IPv4', 'IPv6'] as const) {
    const addressOf = (pod: Pod): string => pod.status.podIPs?.[family === 'IPv4' ? 0 : 1]?.ip ?? '';

    it(`carries ${family} between pods of two nodes and keeps the source address`, async () => {
      const client = await shop.get<Pod>(['pod', 'client-1']);
      const answer = await shop.whoami('client-1', endpoint(addressOf(far), 8080));
      assert.equal(answer.server, 'web-2');
      assert.ok(answer.peer.includes(addressOf(client)), `the server saw ${answer.peer}`);
    });

    it(`carries ${family} between pods of one node`, async () => {
      assert.equal((await shop.whoami('client-1', endpoint(addressOf(near), 8080))).server, 'web-1');
    });

    it(`spreads a Service over the endpoints of both nodes by ${family}`, async () => {
      const address = (await serviceAddress('web')).spec.clusterIPs[family === 'IPv4' ? 0 : 1] ?? '';
      const seen = await answerers(() => shop.whoami('client-2', endpoint(address, 8080)));
      assert.deepEqual([...seen].sort(), ['web-1', 'web-2']);
    });
  }

  it('lets a node itself reach a Service, as the API server does with webhooks', async () => {
    const [address = ''] = (await serviceAddress('web')).spec.clusterIPs;
    const { stdout } = await cluster.node(1, [testkitBinary, 'call', endpoint(address, 8080)]);
    assert.equal((JSON.parse(stdout) as CallResult).ok, true);
  });

  it('is reachable from outside through a NodePort', async () => {
    const port = (await serviceAddress('web-outside')).spec.ports[0]?.nodePort ?? 0;
    const { stdout } = await cluster.outside([testkitBinary, 'call', endpoint('10.77.0.2', port)]);
    assert.equal((JSON.parse(stdout) as CallResult).ok, true);
  });

  it('resolves Services and headless Services by CoreDNS', async () => {
    const [address = ''] = (await serviceAddress('web')).spec.clusterIPs;
    const lookup = async (name: string): Promise<string> =>
      (await shop.exec('client-1', ['nslookup', `${name}.${shop.name}.svc.cluster.local`])).stdout;
    assert.ok((await lookup('web')).includes(address));
    const headless = await lookup('web-headless');
    for (const pod of [near, far]) assert.ok(headless.includes(pod.status.podIP ?? '?'), headless);
  });

  it('gives tokens with an audience, and reviews them', async () => {
    const token = (await shop.kubectl(['create', 'token', 'default', '--audience', 'istio-ca'])).trim();
    const right = await review(cluster, token, 'istio-ca');
    assert.deepEqual(
      [right.authenticated, right.user?.username, right.audiences],
      [true, `system:serviceaccount:${shop.name}:default`, ['istio-ca']],
    );
    const wrong = await review(cluster, token, 'another');
    assert.notEqual(wrong.authenticated, true);
  });

  it('projects a token into a pod that a review accepts', async () => {
    const sources = [{ serviceAccountToken: { audience: 'istio-ca', expirationSeconds: 600, path: 'token' } }];
    await shop.start(
      clientPod('with-token', {
        container: { volumeMounts: [{ name: 'token', mountPath: '/var/run/token' }] },
        spec: { volumes: [{ name: 'token', projected: { sources } }] },
      }),
    );
    const { stdout } = await shop.exec('with-token', ['cat', '/var/run/token/token']);
    assert.equal((await review(cluster, stdout, 'istio-ca')).authenticated, true);
  });

  it('restarts a container whose liveness probe fails', async () => {
    const livenessProbe = {
      exec: { command: ['test', '!', '-e', '/tmp/sick'] },
      periodSeconds: 1,
      failureThreshold: 1,
    };
    await shop.start(serverPod('frail', servers, { container: { livenessProbe } }));
    await shop.exec('frail', ['touch', '/tmp/sick']);
    await cluster.until('a restart', async () => {
      const [status] = (await shop.get<Pod>(['pod', 'frail'])).status.containerStatuses ?? [];
      return status?.restartCount === 1 && status.ready;
    });
  });

  it('shows the log of a container', async () => {
    assert.match(await shop.kubectl(['logs', 'web-2']), /"ready"/);
  });

  it('runs a node agent that sees the node and enters the network of its pods', async () => {
    const paths = ['/sys/fs/cgroup', '/sys/fs/bpf', '/etc/cni/net.d', '/var/run/netns'];
    const volumes = paths.map((path, n) => ({ name: `path-${n}`, hostPath: { path } }));
    const volumeMounts = paths.map((path, n) => ({
      name: `path-${n}`,
      mountPath: `/host${path}`,
      mountPropagation: 'HostToContainer',
    }));
    const spec = podSpec(
      { command: ['/bin/sleep', '86400'], securityContext: { privileged: true }, volumeMounts },
      { spec: { hostPID: true, volumes } },
    );
    await shop.apply({
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'agent' },
      spec: { selector: { matchLabels: { app: 'agent' } }, template: { metadata: { labels: { app: 'agent' } }, spec } },
    });
    await shop.kubectl(['rollout', 'status', 'daemonset/agent', '--timeout', '60s']);
    const agents = await shop.pods('app=agent');
    assert.deepEqual(agents.map(({ spec: { nodeName } }) => nodeName).sort(), ['node-1', 'node-2']);

    // A pod that starts after the agent: what the runtime mounts later has to arrive too.
    const [later] = (await shop.start(clientPod('later', { node: 2 }))) as [Pod];
    const agent = agents.find((pod) => pod.spec.nodeName === 'node-2')?.metadata.name ?? '';
    const everyNetns = 'for n in /host/var/run/netns/*; do nsenter --net=$n ip -4 -o address; done';
    const { stdout } = await shop.exec(agent, ['sh', '-c', everyNetns]);
    assert.ok(stdout.includes(`${later.status.podIP ?? '?'}/`), stdout);
    assert.match((await shop.exec(agent, ['sh', '-c', 'cat /host/etc/cni/net.d/*'])).stdout, /"bridge"/);
    // Processes end while they are read: the pipe's last command decides.
    const cgroups = 'cat /proc/[0-9]*/cgroup 2>/dev/null | grep ^0::/kubepods/';
    assert.match((await shop.exec(agent, ['sh', '-c', cgroups])).stdout, /\/pod/);
  });

  it('runs the image of Ambit', async () => {
    const args = ['--image', 'ambit.local/ambit:dev', '--restart', 'Never', '--image-pull-policy', 'Never'];
    await shop.kubectl(['run', 'ambit', ...args, '--command', '--', 'ambit', '--help']);
    await cluster.until('the end of `ambit --help`', async () => {
      return (await shop.get<Pod>(['pod', 'ambit'])).status.phase === 'Succeeded';
    });
    assert.match(await shop.kubectl(['logs', 'ambit']), /A service mesh for Kubernetes/);
  });

  for (const daemon of ['kubelet', 'containerd'] as const) {
    it(`keeps pods and their connections through a restart of ${daemon}`, async () => {
      const container = async (): Promise<unknown> =>
        (await shop.get<Pod>(['pod', 'web-2'])).status.containerStatuses?.[0]?.containerID;
      const before = await container();
      await cluster.stopDaemon(2, daemon);
      await cluster.startDaemon(2, daemon);
      await cluster.until('commands in pods of node 2', () => shop.exec('client-2', ['true']));
      assert.equal(await container(), before);
      assert.equal((await shop.whoami('client-2', endpoint(far.status.podIP ?? '', 8080))).server, 'web-2');
    });
  }

  it('brings the pods of a node back after its reboot', async () => {
    await cluster.reboot(2);
    await cluster.until('web-2 after the reboot', async () => {
      const pod = await shop.get<Pod>(['pod', 'web-2']);
      const again = pod.status.containerStatuses?.[0]?.restartCount === 1 && holds(pod.status.conditions, 'Ready');
      return again && (await shop.whoami('client-1', endpoint(pod.status.podIP ?? '', 8080))).server === 'web-2';
    });
  });

  it('has a Helm that renders a chart', async () => {
    const chart = await mkdtemp(join(tmpdir(), 'ambit-chart-'));
    try {
      await mkdir(join(chart, 'templates'));
      await writeFile(join(chart, 'Chart.yaml'), 'apiVersion: v2\nname: probe\nversion: 0.1.0\n');
      await writeFile(join(chart, 'templates/map.yaml'), 'name: {{ .Release.Name }}\n');
      assert.match(await helm(['template', 'shown', chart]), /name: shown/);
    } finally {
      await rm(chart, { recursive: true });
    }
  });
});

async function review(cluster: Cluster, token: string, audience: string): Promise<TokenReview['status']> {
  const answer = await cluster.create<TokenReview>({
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    metadata: {},
    spec: { token, audiences: [audience] },
  });
  return answer.status;
}
