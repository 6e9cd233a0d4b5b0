import assert from 'node:assert/strict';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';

import { Mesh } from '../../support/mesh.ts';
import { sum } from '../../support/metrics.ts';
import { ambitBinary } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';
import type { Running } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, hold, wasReset, whoIn } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const member = { namespace: 'shop' } as const;

/** The control plane comes back with a CA of another root; the tests stand in the order of what happens. */
rootSuite('a control plane with another root', () => {
  let mesh: Mesh;
  let held: Running;
  let otherCa = '';
  let rootFile = '';
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, far: 1 },
      members: { client: member, far: member },
      servers: { far: ['whoami@[::]:8080', 'echo@[::]:8081'] },
      agents: [],
    });
    otherCa = join(mesh.rig.folder, 'other-ca');
    rootFile = join(mesh.rig.folder, 'root-cert.pem');
    await exec([ambitBinary, 'ca', 'init', otherCa]);
    await copyFile(join(mesh.rig.caFolder, 'root-cert.pem'), rootFile);
    await Promise.all([startAgent(0), startAgent(1)]);
    held = await hold(mesh.netns('client'), [mesh.at('far', 8081)]);
    await mesh.rig.control.stop('SIGKILL');
    await mesh.rig.startControl({ flags: ['--ca', otherCa] });
  });
  after(() => mesh.remove());

  async function startAgent(place: number): Promise<void> {
    const feed = await mesh.rig.feedOf(place);
    assert.ok(feed.kind === 'control');
    await mesh.startAgent(place, { feed: { ...feed, rootFile } });
  }

  async function exchange(): Promise<void> {
    const seen = held.lines.length;
    held.write('exchange 0 500\n');
    const line = await waitFor(() => held.lines[seen], { what: 'the answer on the held connection' });
    assert.match(line, /"bytes":500,"end":"open"/);
  }

  async function connected(place: number): Promise<boolean> {
    return sum(await mesh.agent(place).metrics(), 'ambit_xds_connected') === 1;
  }

  it('is not believed, and the agents say which file holds the root that they look for', async () => {
    for (const place of [0, 1]) {
      const line = await mesh.agent(place).process.line((text) => text.includes('CONTROL_UNREACHABLE'));
      assert.ok(line.includes(rootFile), line);
      assert.equal(await connected(place), false);
    }
    assert.equal((await mesh.rig.control.clients()).length, 0);
  });

  it('leaves flows alone, old ones and new ones', async () => {
    await exchange();
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('far', 8080))).server, 'far');
  });

  it('is believed once the file holds both roots, without a restart', async () => {
    const roots = [await readFile(rootFile, 'utf8'), await readFile(join(otherCa, 'root-cert.pem'), 'utf8')];
    await writeFile(rootFile, roots.join(''));
    for (const place of [0, 1]) {
      await waitFor(() => connected(place), { timeout: 20_000, what: `the stream of node ${place}` });
      await mesh.agent(place).process.line((line) => line.includes('root certificates have changed'));
    }
  });

  it('goes on with certificates of the former root until they are renewed', async () => {
    await exchange();
    const labels = { reporter: 'source', connection_security_policy: 'mutual_tls' };
    const opened = 'istio_tcp_connections_opened_total';
    const [answer, grown] = await mesh.growth(0, opened, labels, () =>
      call(mesh.netns('client'), mesh.at('far', 8080)),
    );
    assert.deepEqual([whoIn(answer).server, grown], ['far', 1]);
  });

  it('keeps what has a certificate of the one root apart from what has one of the other, closed', async () => {
    const late = await mesh.rig.addPod('late', 0);
    await mesh.apply('pod-late', [mesh.rig.podManifest('late', { namespace: 'shop' })]);
    const active = async (): Promise<number> =>
      sum(await mesh.agent(0).metrics(), 'workload_manager_active_proxy_count');
    await waitFor(async () => (await active()) === 2, { what: 'the enrolment of the new pod' });
    const refused = await call(late.netns, mesh.at('far', 8080));
    assert.ok(wasReset(refused), JSON.stringify(refused));
    const line = await mesh.line(0, { direction: 'outbound', 'src.workload': 'late' });
    assert.match(String(line['error']), /certificate/);
  });

  it('has every identity after a restart of the agents', async () => {
    await held.finish();
    for (const place of [0, 1]) {
      await mesh.agent(place).stop('SIGKILL');
      await startAgent(place);
    }
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('far', 8080))).server, 'far');
    const issued = sum(await mesh.rig.control.metrics(), 'citadel_server_success_cert_issuance_count');
    assert.equal(issued, 4, 'the new pod before, and all three afterwards');
    assert.equal(whoIn(await call(mesh.netns('late'), mesh.at('far', 8080))).server, 'far');
    for (const account of ['client', 'late']) {
      const identity = `spiffe://cluster.local/ns/shop/sa/${account}`;
      await mesh.line(1, { direction: 'inbound', 'dst.workload': 'far', 'src.identity': identity });
    }
  });
});
