import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, it } from 'node:test';

import { envoyBinary } from '../../support/envoy/envoy-process.ts';
import { rootSuite } from '../../support/suite.ts';
import { waitFor } from '../../support/wait.ts';
import { httpRoute, toVersion } from '../../support/waypoints/documents.ts';
import { Shop, waypointPod } from '../../support/waypoints/shop.ts';

const load = { duration: 4_000, concurrency: 4, timeout: 5_000 } as const;

rootSuite('a waypoint of two replicas under load', () => {
  let shop: Shop;
  /** A link to Envoy's program, so that it can be missing. */
  let program: string;
  before(async () => {
    program = join(await mkdtemp(join(tmpdir(), 'ambit-envoy-')), 'envoy');
    await symlink(await envoyBinary(), program);
    const agentOptions = { flags: ['--envoy', program] };
    shop = await Shop.open({ waypoints: { 'waypoint-a': 0, 'waypoint-b': 1 }, agentOptions });
  });
  after(async () => {
    await shop.close();
    await rm(dirname(program), { recursive: true });
  });

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

  it('is served by one replica while the proxy of the other cannot be started', async () => {
    const pid = await shop.proxyReady('waypoint-a');
    const restarts = (await shop.proxy('waypoint-a'))?.restarts ?? 0;
    await rm(program);
    process.kill(pid, 'SIGKILL');
    await shop.until('no request is refused', async () => {
      const { statuses } = await shop.ask({ count: 20, keepAlive: false });
      return statuses['200'] === 20;
    });
    assert.equal((await shop.proxy('waypoint-a'))?.state, 'waiting');
    assert.deepEqual((await shop.ask({ ...load, duration: 1_000, keepAlive: false })).failures, {});
    await symlink(await envoyBinary(), program);
    await shop.proxyReady('waypoint-a', restarts + 1);
    const toFirst = { reporter: 'source', destination_workload: 'waypoint-a' };
    await shop.until('both serve', async () => {
      const asking = () => shop.ask({ count: 20, keepAlive: false });
      const [{ statuses }, grown] = await shop.mesh.growth(0, 'istio_tcp_connections_opened_total', toFirst, asking);
      return statuses['200'] === 20 && grown > 0;
    });
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
