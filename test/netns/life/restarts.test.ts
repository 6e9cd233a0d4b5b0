import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, it } from 'node:test';

import type { Agent } from '../../support/agent.ts';
import { holdingsOf, pinsOf, tracesIn } from '../../support/kernel-state.ts';
import { peerAuthentication } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { suiteOnBothFeeds } from '../../support/suite.ts';
import { call, hold, storm, whoIn } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const member = { namespace: 'shop' } as const;

/** Ends and beginnings of agents: at no moment is a pod open, and a hand-over loses nothing. */
suiteOnBothFeeds('restarts', (feed) => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      feed,
      pods: { client: 0, near: 0, far: 1, outsider: 0 },
      members: { client: member, near: member, far: member },
      servers: { near: ['whoami@[::]:8080', 'echo@[::]:8081'], far: ['whoami@[::]:8080', 'echo@[::]:8081'] },
      documents: [peerAuthentication('shop', 'STRICT')],
      agentOptions: { flags: ['--drain-deadline', '1s'] },
    });
  });
  after(() => mesh.remove());

  /** Every way in and out of the node's pods is refused, and at once. */
  async function assertClosed(): Promise<void> {
    const attempts = {
      'out to a far pod': call(mesh.netns('client'), mesh.at('far', 8080)),
      'out to a near pod': call(mesh.netns('client'), mesh.at('near', 8080)),
      'out over IPv6': call(mesh.netns('client'), mesh.at('far', 8080, 'ipv6')),
      'out of the mesh': call(mesh.netns('client'), mesh.at('outsider', 8080)),
      'in from a stranger': call(mesh.netns('outsider'), mesh.at('near', 8080)),
      'in from a stranger over IPv6': call(mesh.netns('outsider'), mesh.at('near', 8080, 'ipv6')),
      'in by a tunnel': call(mesh.netns('outsider'), mesh.at('near', 15008)),
    };
    for (const [what, attempt] of Object.entries(attempts)) {
      const { error, durationMicros } = await attempt;
      assert.equal(error, 'ECONNREFUSED', what);
      assert.ok(durationMicros < 500_000, `${what}: refused after ${durationMicros} µs`);
    }
  }

  async function assertServed(): Promise<void> {
    for (const name of ['near', 'far']) {
      assert.equal(whoIn(await call(mesh.netns('client'), mesh.at(name, 8080))).server, name);
    }
    assert.equal((await call(mesh.netns('far'), mesh.at('near', 8080))).ok, true);
    assert.equal((await call(mesh.netns('outsider'), mesh.at('near', 8080))).ok, false);
  }

  function pins(): Promise<string[]> {
    return readdir(pinsOf(mesh.rig.node(0).name), { recursive: true });
  }

  it('SIGTERM lets open flows end, takes no new ones, and leaves the hooks closed', async () => {
    const held = await hold(mesh.netns('client'), [mesh.at('near', 8081), mesh.at('far', 8081)]);
    const agent = mesh.agent(0);
    agent.process.kill('SIGTERM');
    await waitFor(() => agent.log().includes('draining'), { what: 'the drain' });
    await assertClosedOutwards();
    held.write('exchange 0 1000\nexchange 1 1000\n');
    for (const id of [0, 1]) {
      const line = await held.line((text) => text.includes('"exchange"') && text.includes(`"id":${id}`));
      assert.match(line, /"error":null/);
    }
    held.write('close 0\n');
    const { code } = await agent.process.ended;
    assert.equal(code, 0);
    held.write('read 1\n');
    assert.match(await held.line((text) => text.includes('"read"')), /"end":"reset"/);
    await assertClosed();
  });

  async function assertClosedOutwards(): Promise<void> {
    const { error } = await call(mesh.netns('client'), mesh.at('near', 8080));
    assert.ok(error === 'ECONNREFUSED' || error === 'ECONNRESET', error ?? 'it was let through');
  }

  it('the next start takes over what SIGTERM left', async () => {
    const agent = await mesh.startAgent(0);
    assert.match(agent.log(), /took over pods/);
    await assertServed();
  });

  for (const turn of ['first', 'second']) {
    it(`SIGKILL leaves no pod open, and the next start takes over, for the ${turn} time`, async () => {
      const before = (await pins()).sort();
      const held = await hold(mesh.netns('client'), [mesh.at('near', 8081), mesh.at('far', 8081)]);
      await mesh.agent(0).stop('SIGKILL');
      await assertClosed();
      held.write('read 0\nread 1\n');
      for (const id of [0, 1]) {
        const line = await held.line((text) => text.includes('"read"') && text.includes(`"id":${id}`));
        assert.match(line, /"end":"reset"/);
      }
      assert.deepEqual((await pins()).sort(), before);
      const agent = await mesh.startAgent(0);
      assert.match(agent.log(), /took over pods/);
      await assertServed();
      assert.deepEqual((await pins()).sort(), before);
      assert.equal((await tracesIn(mesh.netns('client'))).match(/lookup 15001/g)?.length, 2);
    });
  }

  function askSocket(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const asking = request({ socketPath: path, path: '/healthz/ready' }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      asking.on('error', reject).end();
    });
  }

  /** A second agent for the same node beside the first; ready by its own words on the socket in its state folder. */
  async function successor(): Promise<Agent> {
    const agent = await mesh.rig.launchAgent(0, { flags: ['--drain-deadline', '5s'] });
    const socket = join(agent.options.stateDir, 'ready.sock');
    await waitFor(() => agent.log().includes('readiness socket is served'), { what: 'the socket of the successor' });
    await waitFor(async () => (await askSocket(socket)) === 200, { what: 'readiness on the socket', timeout: 20_000 });
    return agent;
  }

  it('a hand-over from one agent to the next loses no new connection', async () => {
    const old = mesh.agent(0);
    const duration = ['--duration', '6000', '--clients', '2'];
    const storms = [
      storm(mesh.netns('client'), [mesh.at('near', 8081), ...duration]),
      storm(mesh.netns('client'), [mesh.at('far', 8081), ...duration]),
      storm(mesh.netns('far'), [mesh.at('near', 8081), ...duration]),
    ];
    const next = await successor();
    assert.equal(old.process.finished, null);
    const { code } = await old.stop('SIGTERM');
    assert.equal(code, 0);
    for (const result of await Promise.all(storms)) {
      assert.deepEqual(result.failures, {});
      assert.ok(result.connections > 100, `${result.connections} connections`);
    }
    await next.ready();
    for (const kind of ['admin', 'metrics'] as const) {
      const path = kind === 'admin' ? '/config_dump' : '/metrics';
      await waitFor(async () => (await next.page(kind, path)).status === 200, { what: `the ${kind} port` });
    }
    assert.equal((await next.metrics()).find(({ name }) => name === 'workload_manager_active_proxy_count')?.value, 2);
    const holdings = await holdingsOf(next.process.pid, mesh.rig.node(0).name);
    assert.equal(holdings.podPins, 2);
    await next.stop('SIGTERM');
    await mesh.startAgent(0);
  });

  it('the end of one agent does not disturb another one on the same machine', async () => {
    await mesh.serve('outsider', ['echo@[::]:8081']);
    const passing = storm(mesh.netns('far'), [mesh.at('outsider', 8081), '--duration', '3000']);
    await mesh.agent(0).stop('SIGKILL');
    const own = await call(mesh.netns('far'), mesh.at('far', 8080));
    assert.equal(own.ok, true);
    const ready = await mesh.agent(1).page('readiness', '/healthz/ready');
    assert.equal(ready.status, 200, ready.body);
    assert.deepEqual((await passing).failures, {});
    await mesh.startAgent(0);
    await assertServed();
  });
});
