import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { parseMetrics, sum } from '../../support/metrics.ts';
import type { LabelQuery } from '../../support/metrics.ts';
import { endpoint, whoIn } from '../../support/testkit.ts';
import type { CallResult } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import type { Pod } from '../harness/objects.ts';
import { authorizationPolicy, fromAccounts, serviceAccount, strict } from '../harness/policies.ts';
import { clusterSuite } from '../harness/suite.ts';
import { clientPod, serverPod } from '../harness/workloads.ts';

const port = 8080;
const joined = { 'istio.io/dataplane-mode': 'ambient' };
/** The one bit that rules of ours look for; an adversary can read it off `ip rule`. */
const ourMark = ['--mark', String(0x8000000)];
const refused = 'ambit_flows_refused_total';
const briefly = ['--timeout', '2000'];

/** As much as a pod can be given without being the node: root, and every right over its own network. */
const adversary = {
  container: { securityContext: { runAsUser: 0, capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } } },
} as const;

/** What test/netns/attacks does on one machine, from the pods of a cluster. */
clusterSuite('attacks on a mesh in a cluster', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let outside: TestNamespace;
  let server: Pod;
  let client: Pod;

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    shop = await TestNamespace.create(cluster, 'attacked', joined);
    outside = await TestNamespace.create(cluster, 'attacker');
    await shop.apply(
      strict(),
      serviceAccount('client'),
      serviceAccount('rogue'),
      authorizationPolicy('client-only', { action: 'ALLOW', rules: fromAccounts(shop.name, 'client') }),
    );
    const [started] = await Promise.all([
      shop.start(
        serverPod('server', [`whoami@[::]:${port}`], { node: 1, ...adversary }),
        clientPod('client', { node: 1, serviceAccount: 'client' }),
        clientPod('distant', { node: 2, serviceAccount: 'client' }),
        clientPod('rogue', { node: 1, serviceAccount: 'rogue', ...adversary }),
      ),
      outside.start(clientPod('outsider', { node: 1, ...adversary })),
    ]);
    [server, client] = started as [Pod, Pod];
    // What fails from here on fails for what is tried, and not for a certificate that is still to come.
    for (const pod of ['client', 'distant'])
      await cluster.until(`a call of ${pod}`, async () => (await shop.call(pod, at(port))).ok);
  });

  after(async () => {
    await Promise.all([shop.remove(), outside.remove()]);
  });

  const ipOf = (pod: Pod, family = 0): string => pod.status.podIPs?.[family]?.ip ?? '';
  const at = (number: number, family = 0): string => endpoint(ipOf(server, family), number);
  const counter = async (name: string, labels: LabelQuery): Promise<number> =>
    sum(parseMetrics(await mesh.metrics(1)), name, labels);

  /** What runs must fail, and be counted. */
  async function isCounted(reason: string | RegExp, run: () => Promise<CallResult>): Promise<void> {
    const before = await counter(refused, { reason });
    const result = await run();
    assert.equal(result.ok, false, JSON.stringify(result));
    await cluster.until('the count of the refusal', async () => (await counter(refused, { reason })) > before);
  }

  async function isServed(): Promise<void> {
    for (const pod of ['client', 'distant']) assert.equal((await shop.whoami(pod, at(port))).server, 'server');
  }

  describe('on listeners', () => {
    it('a thief in the pod that joins our ports with SO_REUSEPORT gets no connection', async () => {
      const ports = [15001, 15006, 15008, ...(await enginePorts(shop, 'server'))];
      const thieves = ports.map((number) =>
        shop.background('server', [
          'ambit-testkit',
          'serve',
          `whoami@[::]:${number}`,
          '--reuse-port',
          '--name',
          'thief',
        ]),
      );
      // Some ports it cannot even bind; then there is nothing to steal.
      await Promise.all(thieves.map((thief) => thief.line((line) => /"(ready|failed)"/.test(line), 60_000)));
      for (const pod of ['client', 'distant']) {
        const addresses = Array<string>(30).fill(at(port));
        const { stdout } = await shop.exec(pod, ['ambit-testkit', 'call', ...addresses]);
        const answers = stdout
          .trim()
          .split('\n')
          .map((line) => whoIn(JSON.parse(line) as CallResult).server);
        assert.deepEqual(answers, Array<string>(30).fill('server'));
      }
      await Promise.all(thieves.map((thief) => thief.finish()));
    });

    it('port 15008 without a certificate is refused', async () => {
      await isCounted('tls_failed', () => outside.call('outsider', at(15_008)));
    });

    it('the real ports of our listeners are refused from outside, from the mesh and from the pod itself', async () => {
      const ports = await enginePorts(shop, 'server');
      assert.ok(ports.length >= 3, ports.join());
      for (const number of ports) {
        assert.equal((await outside.call('outsider', at(number))).ok, false);
        assert.equal((await shop.call('rogue', at(number))).ok, false);
        assert.equal((await shop.call('server', endpoint('127.0.0.1', number))).ok, false);
      }
    });

    it('the pages of agents and of the control plane that are not for pods are refused', async () => {
      const [agent, control] = [await mesh.agentOn(1), await mesh.controlPod()];
      const closed = [endpoint(ipOf(agent), 15_000), endpoint(ipOf(control), 15_010), endpoint(ipOf(control), 8080)];
      for (const address of closed) {
        assert.equal((await outside.call('outsider', address, briefly)).error, 'ECONNREFUSED', address);
        assert.equal((await shop.call('rogue', address, briefly)).ok, false, address);
      }
    });
  });

  describe('on addresses and marks', () => {
    it('an address of somebody else is no identity', async () => {
      for (const family of [0, 1]) {
        const address = ipOf(client, family);
        const length = family === 0 ? [`${address}/32`] : [`${address}/128`];
        await outside.exec('outsider', ['ip', 'addr', 'add', ...length, 'dev', 'eth0']);
        try {
          const result = await outside.call('outsider', at(port, family), ['--source-ip', address, ...briefly]);
          assert.equal(result.ok, false);
        } finally {
          await outside.exec('outsider', ['ip', 'addr', 'del', ...length, 'dev', 'eth0']);
        }
      }
    });

    it('packets with forged sources leave nothing behind', async () => {
      for (const source of [ipOf(client), ipOf(server), '127.0.0.1'])
        for (const number of [port, 15_008]) {
          const words = ['--source', source, '--destination', ipOf(server), '--port', String(number), '--count', '50'];
          await outside.exec('outsider', ['ambit-testkit', 'spoof', ...words]);
        }
      await isServed();
    });

    it('a forged mark gives neither a stranger nor a pod of the mesh anything', async () => {
      await isCounted('policy_denied', () => outside.call('outsider', at(port), ourMark));
      await isCounted('policy_denied', () => shop.call('rogue', at(port), ourMark));
    });

    it('a marked, transparent socket with a neighbour’s address carries its own identity', async () => {
      const options = [...ourMark, '--transparent', '--source-ip', ipOf(client), ...briefly];
      assert.equal((await shop.call('rogue', at(port), options)).ok, false);
    });

    for (const device of ['lo', 'eth0']) {
      it(`a socket that is bound to ${device} does not go around policy`, async () => {
        assert.equal((await shop.call('rogue', at(port), ['--device', device, ...briefly])).ok, false);
        assert.equal((await outside.call('outsider', at(port), ['--device', device, ...briefly])).ok, false);
      });
    }
  });

  describe('on rules', () => {
    for (const family of ['-4', '-6'] as const) {
      it(`a rule that a pod removes (${family}) is back within a second, and counted`, async () => {
        const restored = { restored: 'true' };
        const before = await counter('ambit_tampering_total', restored);
        const ours = async (): Promise<readonly string[]> => {
          const { stdout } = await shop.exec('rogue', ['ip', family, 'rule', 'list']);
          return stdout.split('\n').filter((line) => line.includes('15001'));
        };
        const rules = await ours();
        assert.ok(rules.length > 0);
        // One command, so that its own start is not in the time that is measured.
        const removals = rules.map((rule) => `ip ${family} rule del pref ${rule.split(':')[0] ?? ''}`);
        const script = `${removals.join('; ')}; sleep 1.5; ip ${family} rule list`;
        const { stdout } = await shop.exec('rogue', ['/bin/sh', '-c', script]);
        assert.match(stdout, /15001/);
        assert.deepEqual(await ours(), rules);
        assert.ok((await counter('ambit_tampering_total', restored)) > before);
      });
    }

    it('a pod that removes rules again and again gets past nothing', async () => {
      const loop = 'while :; do for f in -4 -6; do ip $f rule del lookup 15001 2>/dev/null; done; done';
      const tampering = shop.background('rogue', ['timeout', '6', '/bin/sh', '-c', loop]);
      for (let calls = 0; calls < 5; calls++) assert.equal((await shop.call('rogue', at(port), briefly)).ok, false);
      await isServed();
      await tampering.finish(30_000);
    });
  });

  describe('without an API server', () => {
    it('open and new connections go on, and it is not stormed when it is back', async () => {
      const pods = ['client', 'distant'];
      for (const pod of pods) await keepCalling(shop, pod, at(port));
      await cluster.stopDaemon(1, 'apiserver');
      try {
        // By the clock: that nothing happens is what is shown.
        await new Promise((resolve) => setTimeout(resolve, 30_000));
      } finally {
        await cluster.startDaemon(1, 'apiserver');
      }
      await cluster.until('the API server', () => cluster.kubectl(['get', '--raw', '/readyz']));
      // Pauses between tries grow to 30 s, and a try that meets no rule of kube-proxy waits as long.
      const enough = async (): Promise<boolean> => (await watchesOf(cluster)) >= meshKinds;
      await cluster.until('the watches of the mesh', enough, { timeout: 120_000 });
      for (const pod of pods) {
        const results = await calledBy(shop, pod);
        assert.ok(results.length > 20, `${results.length} calls`);
        assert.deepEqual(
          results.filter(({ ok }) => !ok),
          [],
        );
      }
      // Of these kinds the control plane alone asks. A list or a watch that fails is repeated after a pause that grows.
      assert.ok((await requestsOf(cluster, 'LIST')) <= 4 * meshKinds, 'lists');
      assert.ok((await requestsOf(cluster, 'WATCH')) <= 4 * meshKinds, 'watches');
    });

    it('is told of changes again afterwards', async () => {
      await shop.kubectl(['delete', 'authorizationpolicy', 'client-only']);
      await cluster.until('the rogue gets in', async () => (await shop.call('rogue', at(port))).ok);
    });
  });
});

/** Real ports of the engine's listeners in a pod; its own tools read them off the kernel's table. */
async function enginePorts(namespace: TestNamespace, pod: string): Promise<readonly number[]> {
  const { stdout } = await namespace.exec(pod, ['/bin/sh', '-c', 'cat /proc/net/tcp /proc/net/tcp6']);
  const listening = [...stdout.matchAll(/^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:0000 0A /gm)];
  const ports = listening.map(([, port = '']) => Number.parseInt(port, 16));
  return [...new Set(ports)].filter((number) => number >= 61_000);
}

/** Goes on in the pod while nobody can look. */
async function keepCalling(namespace: TestNamespace, pod: string, address: string): Promise<void> {
  const loop = `while sleep 0.5; do ambit-testkit call ${address} --timeout 20000; done`;
  await namespace.exec(pod, ['/bin/sh', '-c', `setsid timeout 600 /bin/sh -c '${loop}' >/tmp/calls 2>&1 </dev/null &`]);
}

async function calledBy(namespace: TestNamespace, pod: string): Promise<readonly CallResult[]> {
  const { stdout } = await namespace.exec(pod, ['/bin/cat', '/tmp/calls']);
  const complete = stdout.slice(0, stdout.lastIndexOf('\n'));
  return complete.split('\n').map((line) => JSON.parse(line) as CallResult);
}

/** Kinds of `security.istio.io` that are watched. */
const meshKinds = 2;

/** So many requests about the policies of the mesh has the API server done with since its start. */
function requestsOf(cluster: Cluster, verb: 'LIST' | 'WATCH'): Promise<number> {
  return apiServerMetric(cluster, 'apiserver_request_total', verb);
}

/** Those that are open. */
function watchesOf(cluster: Cluster): Promise<number> {
  return apiServerMetric(cluster, 'apiserver_longrunning_requests', 'WATCH');
}

async function apiServerMetric(cluster: Cluster, name: string, verb: string): Promise<number> {
  const text = await cluster.kubectl(['get', '--raw', '/metrics']);
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`));
  return sum(parseMetrics(lines.join('\n')), name, { group: 'security.istio.io', verb });
}
