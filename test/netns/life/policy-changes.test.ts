import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { authorizationPolicy, peerAuthentication } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { dropping } from '../../support/packet-filter.ts';
import { closeByPolicy, closingAim } from '../../support/policy-closing.ts';
import type { Running } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { hold } from '../../support/testkit.ts';

const member = { namespace: 'shop' } as const;
/** One that never stops writing, and never closes because its client does. */
const servers = ['source@[::]:8081', 'echo@[::]:8082'];

function denying(port: number): Manifest {
  const rules = [{ to: [{ operation: { ports: [String(port)] } }] }];
  return authorizationPolicy('shop', `no-${port}`, { action: 'DENY', rules });
}

function said(held: Running, verb: string, id: number): Promise<string> {
  return held.line((text) => text.includes(`"${verb}"`) && text.includes(`"id":${id}`));
}

/** On each way in: joined on the node, through a tunnel, and without identity. */
rootSuite('half-open connections and a change of policy', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, outsider: 0, near: 0, far: 1 },
      members: { client: member, near: member, far: member },
      servers: { near: servers, far: servers },
      documents: [peerAuthentication('shop', 'PERMISSIVE')],
      // Longer than the test waits for anything: what ends sooner was ended by the change.
      agentOptions: { flags: ['--connect-timeout', '60s'] },
    });
  });
  after(() => mesh.remove());

  const ways = [
    { way: 'joined', client: 'client', server: 'near', place: 0 },
    { way: 'tunnelled', client: 'client', server: 'far', place: 1 },
    { way: 'plaintext', client: 'outsider', server: 'far', place: 1 },
  ] as const;

  for (const { way, client, server, place } of ways) {
    it(`a ${way} one whose client has no more to say is reset`, async () => {
      const held = await hold(mesh.netns(client), [mesh.at(server, 8081)]);
      // Something of the server's has come: the connection is open all the way.
      held.write('half-close 0\nreceive 0 1000\n');
      assert.match(await said(held, 'receive', 0), /"bytes":1000,"end":"open"/);
      await mesh.under([denying(8081)], async () => {
        held.write('read 0\n');
        assert.match(await said(held, 'read', 0), /"end":"reset"/);
      });
      await held.finish();
    });

    it(`a ${way} one whose application is still being dialled is reset`, async () => {
      const [, dropped] = await dropping(mesh.netns(server), 'input', 'iif lo tcp dport 8082', async () => {
        const held = await hold(mesh.netns(client), [mesh.at(server, 8082)]);
        await mesh.under([denying(8082)], async () => {
          held.write('read 0\n');
          assert.match(await said(held, 'read', 0), /"end":"reset"/);
          await mesh.line(place, { direction: 'inbound', error: /policy_changed/, 'dst.workload': server });
        });
        await held.finish();
      });
      assert.ok(dropped > 0, 'the application was dialled');
    });
  }
});

/** The aim is measured by `make bench`; a machine that does other work at the same time may take its time here. */
const patience = 10 * closingAim;

rootSuite('many open connections and a change of policy', () => {
  it('of 10,000 exactly those are closed that it denies, and soon', { timeout: 180_000 }, async () => {
    const { each, watched, afterwards, closedMilliseconds } = await closeByPolicy(5_000);
    assert.equal(watched.resets, each);
    assert.ok(
      watched.ids.every((id) => id >= each),
      'none that is allowed',
    );
    assert.deepEqual([watched.open, afterwards.ended, afterwards.open], [each, 0, each]);
    assert.ok(closedMilliseconds <= patience, `${closedMilliseconds} ms`);
  });
});
