import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, it } from 'node:test';

import { authorizationPolicy, ManifestFolder, namespace, service } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { select, sum } from '../../support/metrics.ts';
import type { Running } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, endpoint, hold, wasReset, whoIn } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const member = { namespace: 'shop' } as const;
const vip = '10.96.2.1';
const opened = 'istio_tcp_connections_opened_total';
const denied = 'ambit_policy_denied_connections_total';

function deny(name: string, account: string): Manifest {
  const source = { principals: [`cluster.local/ns/shop/sa/${account}`] };
  const selector = { matchLabels: { app: 'far' } };
  return authorizationPolicy('shop', name, { selector, action: 'DENY', rules: [{ from: [{ source }] }] });
}

/** One control plane, killed and started again; the tests stand in the order of what happens. */
rootSuite('a control plane that is away', () => {
  let mesh: Mesh;
  let nodePods: ManifestFolder;
  let held: Running;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, other: 0, near: 0, far: 1 },
      members: { client: member, other: member, near: member, far: member },
      servers: { near: ['whoami@[::]:8080', 'echo@[::]:8081'], far: ['whoami@[::]:8080', 'echo@[::]:8081'] },
      documents: [
        deny('not-other', 'other'),
        service({ name: 'far', namespace: 'shop', vips: [vip], ports: { 80: 8080 }, selector: { app: 'far' } }),
      ],
      agents: [1],
    });
    nodePods = new ManifestFolder(join(mesh.rig.folder, 'node-pods'));
    await nodePods.write('pods', [namespace('shop')]);
    await startAgent();
    held = await hold(mesh.netns('client'), [mesh.at('near', 8081), mesh.at('far', 8081)]);
    await exchange();
    await mesh.rig.control.stop('SIGKILL');
  });
  after(() => mesh.remove());

  /** The first node's, which hears of its pods also by itself, as from a CNI plugin. */
  async function startAgent(): Promise<void> {
    await mesh.startAgent(0, { flags: ['--manifests', nodePods.path] });
  }

  async function exchange(): Promise<void> {
    for (const id of [0, 1]) {
      const seen = held.lines.length;
      held.write(`exchange ${id} 2000\n`);
      const line = await waitFor(() => held.lines[seen], { what: 'the answer on a held connection' });
      assert.match(line, /"bytes":2000,"end":"open"/);
    }
  }

  it('is noticed, in log and metric, and the agents stay ready', async () => {
    for (const place of [0, 1]) {
      const agent = mesh.agent(place);
      const connected = async (): Promise<number> => sum(await agent.metrics(), 'ambit_xds_connected');
      await waitFor(async () => (await connected()) === 0, { what: 'the end of the stream' });
      assert.match(agent.log(), /the last state stays in force/);
      const { status, body } = await agent.readiness();
      assert.equal(status, 200, body);
    }
  });

  it('leaves open connections alone', () => exchange());

  it('leaves new connections as they were, also of kinds that were not asked about before', async () => {
    const labels = { source_workload: 'client', connection_security_policy: 'mutual_tls', reporter: 'source' };
    const [answer, grown] = await mesh.growth(0, opened, labels, () => call(mesh.netns('client'), endpoint(vip, 80)));
    assert.deepEqual([whoIn(answer).server, grown], ['far', 1]);
    const line = await mesh.line(0, { 'src.addr': answer.local ?? '' });
    assert.equal(line['dst.identity'], 'spiffe://cluster.local/ns/shop/sa/far');
    const near = { ...labels, connection_security_policy: 'node_local' };
    const [local, joined] = await mesh.growth(0, opened, near, () => call(mesh.netns('client'), mesh.at('near', 8080)));
    assert.deepEqual([whoIn(local).server, joined], ['near', 1]);
  });

  it('leaves policies in force', async () => {
    const labels = { policy: 'shop/not-other' };
    const [refused, grown] = await mesh.growth(
      1,
      denied,
      labels,
      () => call(mesh.netns('other'), mesh.at('far', 8080)),
      1,
    );
    assert.ok(wasReset(refused), JSON.stringify(refused));
    assert.equal(grown, 1);
    await mesh.line(1, { direction: 'inbound', ...labels });
  });

  it('lets a new pod of a known identity out as what it is', async () => {
    const { netns, ipv4 } = await mesh.rig.addPod('late', 0);
    await mesh.serve('late', ['whoami@[::]:8080']);
    await nodePods.write('pods', [namespace('shop'), lateDocument()]);
    const active = async (): Promise<number> =>
      sum(await mesh.agent(0).metrics(), 'workload_manager_active_proxy_count');
    await waitFor(async () => (await active()) === 4, { what: 'the enrolment of the new pod' });
    const labels = { source_workload: 'late', connection_security_policy: 'mutual_tls' };
    const [answer, grown] = await mesh.growth(0, opened, labels, () => call(netns, mesh.at('far', 8080)));
    assert.deepEqual([whoIn(answer).server, grown], ['far', 1]);
    const line = await mesh.line(1, { direction: 'inbound', 'src.addr': new RegExp(`^${ipv4}:`) });
    assert.equal(line['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
  });

  it('lets nobody in there, for nobody has told which policies hold', async () => {
    const policy = 'ambit/not-known-to-the-control-plane-yet';
    const attempt = (): ReturnType<typeof call> => call(mesh.netns('far'), mesh.at('late', 8080));
    const [refused, grown] = await mesh.growth(0, denied, { policy }, attempt, 1);
    assert.ok(wasReset(refused), JSON.stringify(refused));
    assert.equal(grown, 1);
    await mesh.line(0, { direction: 'inbound', policy });
  });

  it('keeps an agent that starts with nothing from being ready, and its pods closed', async () => {
    await mesh.agent(0).stop('SIGKILL');
    // Without what the former agent has kept.
    const stateDir = join(mesh.rig.folder, 'new-state');
    const agent = await mesh.rig.launchAgent(0, { stateDir, flags: ['--manifests', nodePods.path] });
    const waits = async (): Promise<boolean> => /pending:.*control plane/.test((await agent.readiness()).body);
    await waitFor(waits, { what: 'an agent that waits for its control plane' });
    for (const [from, to] of [
      ['client', 'far'],
      ['client', 'near'],
      ['far', 'near'],
    ] as const) {
      const refused = await call(mesh.netns(from), mesh.at(to, 8080));
      assert.ok(wasReset(refused), `${from} to ${to}: ${JSON.stringify(refused)}`);
    }
    await agent.process.line((line) => line.includes('CONTROL_UNREACHABLE'));
    await agent.stop('SIGTERM');
  });

  it('is back: what was edited meanwhile holds at every agent, and each pod is open again', async () => {
    await mesh.rig.manifests.write('documents', [deny('not-client', 'client')]);
    await mesh.rig.manifests.write('pod-late', [lateDocument()]);
    await mesh.rig.startControl();
    await startAgent();
    await mesh.rig.control.reached(
      mesh.rig.nodes.map(({ name }) => name),
      0,
    );
    assert.equal(whoIn(await call(mesh.netns('other'), mesh.at('far', 8080))).server, 'far');
    assert.ok(wasReset(await call(mesh.netns('client'), mesh.at('far', 8080))));
    assert.equal(whoIn(await call(mesh.netns('other'), mesh.at('late', 8080))).server, 'late');
    assert.deepEqual(
      select(await mesh.agent(1).metrics(), 'ambit_xds_connected').map(({ value }) => value),
      [1],
    );
  });

  function lateDocument(): Manifest {
    return mesh.rig.podManifest('late', { namespace: 'shop', serviceAccount: 'client' });
  }
});
