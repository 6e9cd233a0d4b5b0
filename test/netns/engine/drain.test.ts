import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { HboneClient, materialOf } from '../../support/hbone/peer.ts';
import type { OpenStream, OpenTunnel } from '../../support/hbone/peer.ts';
import type { Finished, Running } from '../../support/processes.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, hold, wasReset } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

/** One drain, step by step: the tests stand in the order of what happens. */
rootSuite('drain on SIGTERM', () => {
  let mesh: Mesh;
  let client: HboneClient;
  let tunnel: OpenTunnel;
  let stream: OpenStream;
  let held: Running;
  let ended: Promise<Finished>;
  before(async () => {
    mesh = await Mesh.create({
      ...{ nodes: 1, pods: { outside: 0, client: 0, server: 0 } },
      members: { client: { namespace: 'shop' }, server: { namespace: 'shop' } },
      servers: { server: ['whoami@[::]:8080', 'echo@[::]:8081'], outside: ['echo@[::]:8081'] },
      agentOptions: { flags: ['--drain-deadline', '20s'] },
    });
    client = new HboneClient(mesh.netns('outside'));
    const material = await materialOf(mesh.rig.caFolder, 'spiffe://cluster.local/ns/shop/sa/guest');
    tunnel = await client.open(mesh.pod('server').ipv4, material);
    stream = await client.connect(tunnel, mesh.at('server', 8081));
    held = await hold(mesh.netns('client'), [mesh.at('server', 8081), mesh.at('outside', 8081)]);
    for (const id of [0, 1]) held.write(`exchange ${id} 10\n`);
    await held.line((line) => line.includes('"id":1') && line.includes('"exchange"'));
    ended = mesh.agent(0).stop('SIGTERM');
  });
  after(() => mesh.remove());

  it('sends GOAWAY without an error', async () => {
    assert.equal((await client.goaway(tunnel)).code, 0);
  });

  it('says that it is not ready', async () => {
    const look = async (): Promise<boolean> => (await mesh.agent(0).page('readiness', '/healthz/ready')).status !== 200;
    await waitFor(look, { what: 'not being ready' });
  });

  it('lets open streams go on', async () => {
    assert.equal((await client.exchange(stream, 'after GOAWAY')).text, 'after GOAWAY');
  });

  it('lets open connections go on', async () => {
    for (const id of [0, 1]) {
      held.write(`exchange ${id} 5000${id}\n`);
      await held.line((line) => line.includes(`"bytes":5000${id}`));
    }
  });

  it('takes no new connections', async () => {
    for (const target of [mesh.at('server', 8080), mesh.at('outside', 8081)]) {
      const { ok } = await call(mesh.netns('client'), target, ['--timeout', '500']);
      assert.equal(ok, false);
    }
  });

  it('ends with success once the last connection has ended, before its deadline', async () => {
    const begun = Date.now();
    held.write('close 0\n');
    held.write('close 1\n');
    await client.finish(stream);
    const { code, signal } = await ended;
    assert.deepEqual([code, signal], [0, null]);
    assert.ok(Date.now() - begun < 10_000);
  });

  it('leaves the pods closed to what comes from outside, which is refused at once', async () => {
    for (const family of ['ipv4', 'ipv6'] as const) {
      for (const port of [8080, 15008]) {
        const result = await call(mesh.netns('outside'), mesh.at('server', port, family));
        assert.ok(wasReset(result), JSON.stringify(result));
      }
    }
  });

  it('leaves the pods closed to what goes out: nothing of it gets on the wire', async () => {
    const [, heard] = await mesh.heard('client', [], async () => {
      for (const [name, port] of [
        ['server', 8080],
        ['outside', 8081],
      ] as const) {
        for (const family of ['ipv4', 'ipv6'] as const) {
          const { ok } = await call(mesh.netns('client'), mesh.at(name, port, family), ['--timeout', '500']);
          assert.equal(ok, false);
        }
      }
    });
    assert.deepEqual(heard.flows, {});
  });

  it('leaves what stays inside a pod alone', async () => {
    assert.equal((await call(mesh.netns('server'), mesh.at('server', 8080))).ok, true);
    assert.equal((await call(mesh.netns('server'), '127.0.0.1:8080')).ok, true);
  });

  it('is over when the next agent takes the pods in again', async () => {
    await mesh.startAgent(0);
    assert.equal((await call(mesh.netns('client'), mesh.at('server', 8080))).ok, true);
    assert.equal((await call(mesh.netns('client'), mesh.at('outside', 8081))).ok, true);
  });

  it('ends by its deadline where somebody does not let go', async () => {
    await mesh.agent(0).stop('SIGTERM');
    await mesh.startAgent(0, { flags: ['--drain-deadline', '1s'] });
    const stubborn = await hold(mesh.netns('client'), [mesh.at('server', 8081)]);
    stubborn.write('exchange 0 10\n');
    await stubborn.line((line) => line.includes('"exchange"'));
    const begun = Date.now();
    await mesh.agent(0).stop('SIGTERM');
    assert.ok(Date.now() - begun < 6_000);
    stubborn.write('read 0\n');
    const read = JSON.parse(await stubborn.line((line) => line.includes('"read"'))) as { end: string };
    assert.equal(read.end, 'reset', 'cut, and not as if all had been said');
    await stubborn.finish();
  });
});
