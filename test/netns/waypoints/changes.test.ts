import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { rootSuite } from '../../support/suite.ts';
import { waitFor } from '../../support/wait.ts';
import { httpRoute, toVersion } from '../../support/waypoints/documents.ts';
import { Shop, waypointPod } from '../../support/waypoints/shop.ts';

const load = { duration: 4_000, concurrency: 4, timeout: 5_000 } as const;

rootSuite('a waypoint of two replicas under load', () => {
  let shop: Shop;
  before(async () => {
    shop = await Shop.open({ waypoints: { 'waypoint-a': 0, 'waypoint-b': 1 } });
  });
  after(() => shop.close());

  it('balances connections over its replicas', async () => {
    const { statuses } = await shop.ask({ count: 40, keepAlive: false });
    assert.deepEqual(statuses, { 200: 40 });
    for (const place of [0, 1]) {
      await shop.mesh.line(place, { 'dst.workload': /^waypoint-/, direction: 'inbound' });
    }
  });

  it('loses no request when its routes change', async () => {
    const passing = shop.ask(load);
    for (const weight of [0, 10, 50, 90, 100]) {
      const backendRefs = [toVersion('v1', 100 - weight), toVersion('v2', weight)];
      await shop.mesh.apply('routes', [httpRoute([{ backendRefs }])]);
    }
    const { statuses, failures, requests } = await passing;
    assert.deepEqual([failures, statuses], [{}, { 200: requests }]);
    await shop.until(
      'the last routes',
      async () => Object.keys((await shop.ask({ count: 10 })).servers).join() === 'v2',
    );
    await shop.mesh.retract('routes');
  });

  it('goes on after one of its proxies was killed', async () => {
    const pid = await shop.proxyReady('waypoint-a');
    const restarts = (await shop.proxy('waypoint-a'))?.restarts ?? 0;
    const passing = shop.ask({ ...load, keepAlive: false });
    process.kill(pid, 'SIGKILL');
    await shop.proxyReady('waypoint-a', restarts + 1);
    // Refused at once is what the killed one held, and what came to it before the next one was ready; nothing waits or goes astray.
    const { statuses, requests, failures } = await passing;
    const { 200: served = 0 } = statuses;
    assert.deepEqual([statuses, failures], [{ 200: served }, { ECONNRESET: requests - served }]);
    assert.ok(served > 0, 'the other replica has served');
    assert.deepEqual((await shop.ask({ count: 40, keepAlive: false })).statuses, { 200: 40 });
  });

  it('loses no request when a replica is taken out', async () => {
    const passing = shop.ask({ ...load, duration: 9_000 });
    await shop.mesh.changePod('waypoint-b', { ready: false });
    const labels = { ...waypointPod.labels, 'istio.io/dataplane-mode': 'none' };
    await shop.mesh.changePod('waypoint-b', { ready: false, labels });
    await waitFor(async () => (await shop.proxy('waypoint-b')) === null, { timeout: 15_000, what: 'its end' });
    const { statuses, failures, requests } = await passing;
    assert.deepEqual([failures, statuses], [{}, { 200: requests }]);
  });
});
