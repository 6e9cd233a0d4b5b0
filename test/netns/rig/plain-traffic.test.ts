import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, it } from 'node:test';

import { Rig } from '../../support/rig.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, calls, capture, endpoint, hold, serve, storm, whoIn } from '../../support/testkit.ts';
import { linkInterface } from '../../support/topology.ts';

/** What the rig does by itself: without this, a failure of the mesh and one of the rig look alike. */
rootSuite('rig without a mesh', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.create({ pods: { client: 0, near: 0, far: 1 } });
    const servers = ['whoami@[::]:8080', 'echo@[::]:8081', 'echo@[::]:9000-9099', 'reset@[::]:8082'];
    await Promise.all(['near', 'far'].map((name) => serve(rig.pod(name).netns, name, servers)));
  });
  after(() => rig.remove());

  for (const name of ['near', 'far']) {
    for (const family of ['ipv4', 'ipv6'] as const) {
      it(`carries ${family} to a ${name} pod, with the client's own address`, async () => {
        const client = rig.pod('client');
        const answer = whoIn(await call(client.netns, endpoint(rig.pod(name)[family], 8080)));
        assert.equal(answer.server, name);
        assert.ok(answer.peer.includes(client[family]), answer.peer);
      });
    }
  }

  it('lets a process of the node reach a pod', async () => {
    const answer = whoIn(await call(rig.node(0).netns, endpoint(rig.pod('near').ipv4, 8080)));
    assert.ok(answer.peer.startsWith(rig.node(0).ipv4), answer.peer);
  });

  it('refuses a closed port', async () => {
    const { error, phase } = await call(rig.pod('client').netns, endpoint(rig.pod('far').ipv4, 7));
    assert.deepEqual({ error, phase }, { error: 'ECONNREFUSED', phase: 'connect' });
  });

  for (const variant of ['non-blocking', 'fast-open', 'fast-open-connect', 'mptcp', 'io-uring', 'blocking --mapped']) {
    it(`opens a connection the way of ${variant}`, async () => {
      const options = `--variant ${variant}`.split(' ');
      const result = await call(rig.pod('client').netns, endpoint(rig.pod('far').ipv4, 8080), options);
      assert.equal(whoIn(result).server, 'far');
    });
  }

  it('uses one source port for two destinations', async () => {
    const { netns } = rig.pod('client');
    const targets = ['near', 'far'].map((name) => endpoint(rig.pod(name).ipv4, 8080));
    const results = await calls(netns, targets, ['--source-port', '41000', '--together']);
    assert.deepEqual(
      results.map((result) => result.local),
      Array(2).fill(endpoint(rig.pod('client').ipv4, 41000)),
    );
  });

  it('uses one socket for two destinations, one after the other', async () => {
    const targets = ['near', 'far'].map((name) => endpoint(rig.pod(name).ipv4, 8080));
    const results = await calls(rig.pod('client').netns, targets, ['--reuse']);
    assert.deepEqual(
      results.map((result) => whoIn(result).server),
      ['near', 'far'],
    );
  });

  it('tells a reset from an orderly end', async () => {
    const address = endpoint(rig.pod('far').ipv4, 8082);
    const { end } = await call(rig.pod('client').netns, address, ['--until', 'eof']);
    assert.equal(end, 'reset');
  });

  it('hears plaintext on the link between the nodes, and drops nothing of it', async () => {
    const listening = await capture(rig.node(0).netns, linkInterface, ['needle-in-the-clear', 'never-sent']);
    await call(rig.pod('client').netns, endpoint(rig.pod('far').ipv4, 8081), ['--send', 'needle-in-the-clear']);
    const seen = await listening.finish();
    assert.equal(seen.dropped, 0);
    assert.ok((seen.needles['needle-in-the-clear'] ?? 0) >= 2, JSON.stringify(seen));
    assert.equal(seen.needles['never-sent'], 0);
  });

  it('makes many short connections, none of which fails', async () => {
    const { failures, connections } = await storm(rig.pod('client').netns, [
      endpoint(rig.pod('far').ipv4, '9000-9099'),
      ...['--count', '2000', '--clients', '4', '--close', 'fin'],
    ]);
    assert.deepEqual({ failures, connections }, { failures: {}, connections: 2000 });
  });

  it('holds a connection open and speaks on it later', async () => {
    const held = await hold(rig.pod('client').netns, [endpoint(rig.pod('far').ipv4, 8081)]);
    held.write('exchange 0 100000\n');
    const answer = await held.line((line) => line.includes('"exchange"'));
    assert.equal((JSON.parse(answer) as { bytes: number }).bytes, 100_000);
    assert.equal((await held.finish()).code, 0);
  });

  it('takes a pod in while it runs', async () => {
    const late = await rig.addPod('late', 1);
    const answer = whoIn(await call(late.netns, endpoint(rig.pod('near').ipv6, 8080)));
    assert.ok(answer.peer.includes(late.ipv6), answer.peer);
  });

  it('leaves nothing behind', async () => {
    const other = await Rig.create({ nodes: 1, pods: { only: 0 } });
    const names = [...other.pods, ...other.nodes].map(({ netns }) => `/run/netns/${netns}`);
    assert.ok(names.every((name) => existsSync(name)));
    await other.remove();
    assert.deepEqual(
      [...names, other.folder].filter((name) => existsSync(name)),
      [],
    );
  });
});
