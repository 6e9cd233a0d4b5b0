import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, it } from 'node:test';

import { pinsOf } from '../../support/kernel-state.ts';
import { authorizationPolicy, peerAuthentication } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { enter } from '../../support/namespaces.ts';
import { ambitBinary } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';
import type { Finished, Running } from '../../support/processes.ts';
import { suiteOnBothFeeds } from '../../support/suite.ts';
import { call, hold, storm, whoIn } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const member = { namespace: 'shop' } as const;
const identityOf = (account: string): string => `spiffe://cluster.local/ns/shop/sa/${account}`;

/** What changes under pods and connections that stay. Both agents have two engine threads. */
suiteOnBothFeeds('changes under what is running', (feed) => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      feed,
      pods: { client: 0, other: 0, near: 0, far: 1, outsider: 0 },
      members: { client: member, other: member, near: member, far: member },
      servers: { near: ['whoami@[::]:8080', 'echo@[::]:8081'], far: ['whoami@[::]:8080', 'echo@[::]:8081'] },
      documents: [peerAuthentication('shop', 'STRICT')],
      agentOptions: { flags: ['--threads', '2'] },
    });
  });
  after(() => mesh.remove());

  async function exchange(held: Running, id: number): Promise<string> {
    held.write(`exchange ${id} 64\n`);
    return held.line((text) => text.includes('"exchange"') && text.includes(`"id":${id}`));
  }

  function detachNode(): Promise<Finished> {
    const { name, netns } = mesh.rig.node(0);
    const { bpffs } = mesh.agent(0).options;
    return exec(enter(netns, [ambitBinary, 'detach', '--node', name, '--bpffs', bpffs]), { anyStatus: true });
  }

  it('a pod whose service account changes is captured all along, and goes on as the new one', async () => {
    const duration = ['--duration', '3000', '--clients', '2'];
    const plaintext = storm(mesh.netns('outsider'), [mesh.at('near', 8081), ...duration]);
    await mesh.changePod('near', { serviceAccount: 'renamed' });
    assert.equal((await plaintext).connections, 0);
    const answer = await waitFor(
      async () => {
        const result = await call(mesh.netns('client'), mesh.at('near', 8080));
        return result.ok ? whoIn(result) : null;
      },
      { what: 'an answer of the renamed pod' },
    );
    assert.equal(answer.server, 'near');
    await mesh.line(0, { direction: 'inbound', 'dst.workload': 'near', 'dst.identity': identityOf('renamed') });
    await mesh.changePod('near');
  });

  it('a policy that denies one client closes its open connections, and no other ones', async () => {
    const denied = await hold(mesh.netns('other'), [mesh.at('near', 8081), mesh.at('far', 8081)]);
    const allowed = await hold(mesh.netns('client'), [mesh.at('near', 8081), mesh.at('far', 8081)]);
    const source = { principals: [identityOf('other').replace('spiffe://', '')] };
    await mesh.under(
      [authorizationPolicy('shop', 'not-other', { action: 'DENY', rules: [{ from: [{ source }] }] })],
      async () => {
        denied.write('read 0\nread 1\n');
        for (const id of [0, 1]) {
          const line = await denied.line((text) => text.includes('"read"') && text.includes(`"id":${id}`));
          assert.match(line, /"end":"reset"/);
        }
        for (const id of [0, 1]) assert.match(await exchange(allowed, id), /"bytes":64,"end":"open"/);
        assert.equal((await call(mesh.netns('other'), mesh.at('near', 8080))).ok, false);
        assert.equal((await call(mesh.netns('client'), mesh.at('near', 8080))).ok, true);
      },
    );
    await Promise.all([denied.finish(), allowed.finish()]);
  });

  it('two engine threads together count every connection', async () => {
    const labels = { reporter: 'source', destination_workload: 'far' };
    const [result, opened] = await mesh.growth(0, 'istio_tcp_connections_opened_total', labels, () =>
      storm(mesh.netns('client'), [mesh.at('far', 8081), '--duration', '1000', '--clients', '4']),
    );
    assert.deepEqual(result.failures, {});
    assert.equal(opened, result.connections);
  });

  it('detach refuses beside a running agent, and leaves nothing once that has ended', async () => {
    const { name } = mesh.rig.node(0);
    const refused = await detachNode();
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /AGENT_RUNS|stop it first/);
    assert.equal((await call(mesh.netns('client'), mesh.at('near', 8080))).ok, true);
    await mesh.agent(0).stop('SIGTERM');
    assert.equal((await detachNode()).code, 0);
    assert.equal(existsSync(pinsOf(name)), false);
    const { stdout } = await exec(enter(mesh.netns('client'), ['ip', 'rule']));
    assert.doesNotMatch(stdout, /lookup 15001/);
  });
});
