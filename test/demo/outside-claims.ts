import assert from 'node:assert/strict';

import { authorizationPolicy, meshSettings, serviceEntry } from '../support/manifests.ts';
import type { Manifest } from '../support/manifests.ts';
import { call, wasReset } from '../support/testkit.ts';
import { shop as space } from '../support/waypoints/documents.ts';
import { serverPorts } from '../support/waypoints/ports.ts';
import { startShopServer } from '../support/waypoints/shop-client.ts';
import type { Shop } from '../support/waypoints/shop.ts';
import type { Claim } from './table.ts';

const host = 'api.example.com';
/** As a control plane would have chosen it. */
const vip = '240.240.77.1';

/** What of the shop gets out of the mesh; each leaves it as it found it. @param shop has a pod `outside` that is none of the mesh's */
export function outsideClaims(shop: Shop): readonly Claim[] {
  return [
    { name: 'a host outside, by identity and path', prove: () => byIdentity(shop) },
    { name: 'REGISTRY_ONLY on and off', prove: () => registered(shop) },
  ];
}

function documents(address: string): readonly Manifest[] {
  const entry = serviceEntry({
    name: 'api',
    namespace: space,
    labels: { 'istio.io/use-waypoint': 'waypoint' },
    spec: {
      hosts: [host],
      location: 'MESH_EXTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 80, name: 'http', protocol: 'HTTP', targetPort: serverPorts.web }],
      endpoints: [{ address }],
    },
  });
  const policy = authorizationPolicy(space, 'api', {
    targetRefs: [{ kind: 'ServiceEntry', group: 'networking.istio.io', name: 'api' }],
    rules: [
      {
        from: [{ source: { principals: [`cluster.local/ns/${space}/sa/client`] } }],
        to: [{ operation: { hosts: [host], paths: ['/open*'] } }],
      },
    ],
  });
  return [{ ...entry, status: { addresses: [{ host, value: vip }] } }, policy];
}

async function byIdentity(shop: Shop): Promise<string> {
  const server = await startShopServer(shop.mesh.netns('outside'), 'outside');
  const visitor = await shop.clientIn('visitor');
  const wish = { host: vip, headers: { host }, count: 20 };
  try {
    return await shop.mesh.under(documents(shop.mesh.pod('outside').ipv4), async () => {
      const isOpen = async () => (await shop.ask({ ...wish, count: 1, path: '/open' })).statuses['200'] === 1;
      await shop.until('the way out', isOpen);
      const [open, closed] = [await shop.ask({ ...wish, path: '/open' }), await shop.ask({ ...wish, path: '/closed' })];
      const strangers = await visitor.ask({ ...wish, path: '/open' });
      assert.deepEqual([open.statuses, closed.statuses, strangers.statuses], [{ 200: 20 }, { 403: 20 }, { 403: 20 }]);
      assert.deepEqual(open.servers, { outside: 20 });
      return `${host} through the waypoint: …/sa/client at /open 20 of 20 got 200, at /closed 20 of 20 got 403; …/sa/visitor 20 of 20 got 403`;
    });
  } finally {
    await server.stop('SIGKILL');
  }
}

async function registered(shop: Shop): Promise<string> {
  const server = await startShopServer(shop.mesh.netns('outside'), 'outside');
  const dial = () => call(shop.mesh.netns('client'), shop.mesh.at('outside', serverPorts.web));
  const isRefused = async () => wasReset(await dial());
  try {
    assert.equal(await isRefused(), false);
    await shop.mesh.under([meshSettings({ outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } })], async () => {
      await shop.until('a refusal', isRefused);
      assert.equal((await shop.ask()).statuses['200'], 1);
    });
    await shop.until('the end of the policy', async () => !(await isRefused()));
    return 'an address that nobody has registered: passed on, reset once REGISTRY_ONLY is set (the shop is reached still), passed on again';
  } finally {
    await server.stop('SIGKILL');
  }
}
