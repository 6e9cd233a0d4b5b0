import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { rootSuite } from '../../support/suite.ts';
import { gateway, httpRoute, marked, markHeader, toVersion } from '../../support/waypoints/documents.ts';
import { serverPorts } from '../../support/waypoints/ports.ts';
import { Shop, waypointPod } from '../../support/waypoints/shop.ts';
import { startShopServer } from '../../support/waypoints/shop-client.ts';

const gatewayName = 'gateway.networking.k8s.io/gateway-name';

/** Of the shop, for what is asked for by the addresses of pods. */
function ofPods() {
  const { metadata, ...rest } = gateway('of-pods');
  return { ...rest, metadata: { ...metadata, labels: { 'istio.io/waypoint-for': 'workload' } } };
}

rootSuite('waypoints where agents ask for addresses one by one', () => {
  let shop: Shop;
  before(async () => {
    shop = await Shop.open({
      waypoints: { 'waypoint-a': 1 },
      pods: { hidden: 0, 'of-pods-1': 1 },
      members: {
        hidden: { namespace: 'shop', labels: { 'istio.io/use-waypoint': 'of-pods' } },
        'of-pods-1': { ...waypointPod, serviceAccount: 'of-pods', labels: { [gatewayName]: 'of-pods' } },
      },
      documents: [ofPods(), httpRoute([{ filters: [marked('on-demand')], backendRefs: [toVersion('v2')] }])],
      agentOptions: { flags: ['--xds-on-demand', 'true'] },
    });
    await startShopServer(shop.mesh.netns('hidden'), 'hidden');
    await shop.proxyReady('of-pods-1');
  });
  after(() => shop.close());

  it('are gone through from the first connection on', async () => {
    const { statuses, servers, headers } = await shop.ask({ count: 20, keepAlive: false });
    assert.deepEqual([statuses, servers, headers[markHeader]], [{ 200: 20 }, { v2: 20 }, 'on-demand']);
  });

  it('are gone through to pods that have one, and let in there', async () => {
    const host = shop.mesh.pod('hidden').ipv4;
    const { statuses } = await shop.ask({ host, port: serverPorts.web });
    assert.deepEqual(statuses, { 200: 1 });
    await shop.mesh.line(0, { 'dst.workload': 'of-pods-1' });
  });
});
