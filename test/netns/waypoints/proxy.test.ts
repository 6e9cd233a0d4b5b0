import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, it } from 'node:test';

import { rootSuite } from '../../support/suite.ts';
import { call } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';
import { Shop } from '../../support/waypoints/shop.ts';

/** A process that is gone, or has ended and is not waited for by whoever inherited it. */
async function isGone(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State:\tZ');
  return /^State:\tZ/m.test(status);
}

rootSuite('the proxy that an agent runs for a waypoint', () => {
  let shop: Shop;
  before(async () => {
    shop = await Shop.open();
  });
  after(() => shop.close());

  it('runs as nobody, with no right of its own', async () => {
    const pid = await shop.proxyReady('waypoint-a');
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    assert.match(status, /^Uid:\t65532\t65532\t65532\t65532$/m);
    assert.match(status, /^CapBnd:\t0+$/m);
    assert.match(status, /^NoNewPrivs:\t1$/m);
  });

  it('is guarded: nobody in its pod reaches what it is handed, or its administration', async () => {
    const netns = shop.mesh.netns('waypoint-a');
    for (const address of ['127.0.0.1:15088', '127.0.0.1:15000', '[::1]:15000', shop.mesh.at('waypoint-a', 15088)]) {
      const { ok, error } = await call(netns, address);
      assert.deepEqual([address, ok, error], [address, false, 'ECONNREFUSED']);
    }
  });

  it('is guarded from outside its pod, too', async () => {
    for (const port of [15088, 15000]) {
      assert.equal((await call(shop.mesh.netns('client'), shop.mesh.at('waypoint-a', port))).ok, false);
    }
  });

  it('is replaced after it was killed', async () => {
    const former = await shop.proxyReady('waypoint-a');
    const { restarts } = (await shop.proxy('waypoint-a')) ?? { restarts: 0 };
    process.kill(former, 'SIGKILL');
    const next = await shop.proxyReady('waypoint-a', restarts + 1);
    assert.notEqual(next, former);
    assert.equal((await shop.ask()).statuses['200'], 1);
  });

  it('ends with its agent, also one that is killed, and the next agent starts its own', async () => {
    const former = await shop.proxyReady('waypoint-a');
    await shop.mesh.agent(1).stop('SIGKILL');
    await waitFor(() => isGone(former), { what: 'the end of the proxy' });
    await shop.mesh.startAgent(1);
    assert.notEqual(await shop.proxyReady('waypoint-a'), former);
  });

  it('ends when its pod does', async () => {
    const former = await shop.proxyReady('waypoint-a');
    await shop.mesh.rig.manifests.remove('pod-waypoint-a');
    await waitFor(() => isGone(former), { timeout: 15_000, what: 'the end of the proxy' });
  });
});
