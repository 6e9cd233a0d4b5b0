import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { holdingsOf, tracesIn, tunnelsIn } from '../../support/kernel-state.ts';
import type { Holdings } from '../../support/kernel-state.ts';
import { namespace } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { sum } from '../../support/metrics.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, storm, whoIn } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const member = { namespace: 'shop' } as const;
/** Pods that come and go, and how often all of them do: 1,000 rounds in all. */
const guests = Array.from({ length: 50 }, (_, turn) => `guest${turn}`);
const rounds = 20;
const connections = 10_000;

/** What connections and enrolments take, they give back. */
rootSuite('leaks', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, near: 0, far: 1, ...Object.fromEntries(guests.map((name) => [name, 0])) },
      members: {
        client: member,
        near: member,
        far: member,
        ...Object.fromEntries(guests.map((name) => [name, { namespace: 'guests', serviceAccount: 'guest' }])),
      },
      servers: { near: ['whoami@[::]:8080', 'echo@[::]:8081'], far: ['echo@[::]:8081'], guest0: ['whoami@[::]:8080'] },
      documents: [],
      agentOptions: { flags: ['--access-log', 'off'] },
    });
    await setGuests(false);
  });
  after(() => mesh.remove());

  async function enrolled(): Promise<number> {
    return sum(await mesh.agent(0).metrics(), 'workload_manager_active_proxy_count');
  }

  /** Takes all guests in or lets them go, by the label of their namespace. */
  async function setGuests(wanted: boolean): Promise<void> {
    const document = wanted ? namespace('guests') : namespace('guests', {});
    await mesh.rig.manifests.write('namespaces', [namespace('shop'), document]);
    const goal = 2 + (wanted ? guests.length : 0);
    const what = `${goal} enrolled pods`;
    await waitFor(async () => (await enrolled()) === goal, { timeout: 20_000, interval: 10, what });
    if (!wanted) await waitFor(async () => (await holdings()).podPins === 2, { what: 'the release of all guests' });
  }

  function holdings(): Promise<Holdings> {
    return holdingsOf(mesh.agent(0).process.pid, mesh.rig.node(0).name);
  }

  /** What is held once nothing is under way any more. */
  async function settled(wanted: Holdings): Promise<void> {
    const what = `holdings ${JSON.stringify(wanted)}`;
    await waitFor(
      async () => {
        const now = await holdings();
        // The pages that are asked for meanwhile are descriptors, too.
        if (now.descriptors > wanted.descriptors + 4) throw new Error(JSON.stringify(now));
        assert.deepEqual({ ...now, descriptors: 0 }, { ...wanted, descriptors: 0 });
        return true;
      },
      { timeout: 15_000, what },
    );
  }

  it('10,000 connections leave nothing but their tunnels, and those are few', async () => {
    const warmUp = ['--count', '200', '--clients', '8'];
    await storm(mesh.netns('client'), [mesh.at('near', 8081), ...warmUp]);
    await storm(mesh.netns('client'), [mesh.at('far', 8081), ...warmUp]);
    const before = await holdings();
    const tunnels = await tunnelsIn(mesh.netns('client'));
    const half = ['--count', String(connections / 2), '--clients', '8'];
    for (const name of ['near', 'far']) {
      const result = await storm(mesh.netns('client'), [mesh.at(name, 8081), ...half]);
      assert.deepEqual([result.failures, result.connections], [{}, connections / 2]);
    }
    await settled(before);
    const now = await tunnelsIn(mesh.netns('client'));
    assert.ok(now <= Math.max(tunnels, 4), `${now} tunnels, ${tunnels} before`);
    const open = sum(await mesh.agent(0).metrics(), 'istio_tcp_sockets_open');
    assert.equal(open, 0);
  });

  it('1,000 enrolments and un-enrolments leave nothing', async () => {
    const untouched = await tracesIn(mesh.netns('guest1'));
    await setGuests(true);
    assert.notEqual(await tracesIn(mesh.netns('guest1')), untouched);
    await setGuests(false);
    const before = await holdings();
    for (let round = 1; round < rounds; round++) {
      await setGuests(true);
      await setGuests(false);
    }
    await settled(before);
    assert.equal(await tracesIn(mesh.netns('guest1')), untouched);
    const samples = await mesh.agent(0).metrics();
    assert.ok(sum(samples, 'workload_manager_proxies_started_total') >= guests.length * rounds);
    assert.equal(sum(samples, 'ambit_enrolment_failures_total'), 0);
  });

  it('afterwards a guest is served as the first one was', async () => {
    await setGuests(true);
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('guest0', 8080))).server, 'guest0');
    await setGuests(false);
  });
});
