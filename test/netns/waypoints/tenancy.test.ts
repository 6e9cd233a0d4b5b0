import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { appLabel, authorizationPolicy, service } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { rootSuite } from '../../support/suite.ts';
import { shop as shopName, virtualService } from '../../support/waypoints/documents.ts';
import { serverPorts, servicePorts } from '../../support/waypoints/ports.ts';
import { Shop, vips } from '../../support/waypoints/shop.ts';
import { startShopServer } from '../../support/waypoints/shop-client.ts';

const bank = 'bank';
const vaultVip = '10.96.77.9';
const stolenVip = '240.77.0.9';
const istio = 'networking.istio.io';

/** The bank lets the waypoint in and nobody else, as it would one that it shares with the shop. */
const bankDocuments: readonly Manifest[] = [
  service({
    name: 'vault',
    namespace: bank,
    vips: [vaultVip],
    ports: { [servicePorts.web]: serverPorts.web },
    selector: { [appLabel]: 'vault' },
  }),
  authorizationPolicy(bank, 'waypoint-only', {
    rules: [{ from: [{ source: { principals: [`cluster.local/ns/${shopName}/sa/waypoint`] } }] }],
  }),
];

function grant(fromKind: string, toKind: string): Manifest {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1beta1',
    kind: 'ReferenceGrant',
    metadata: { name: 'shop', namespace: bank },
    spec: { from: [{ group: istio, kind: fromKind, namespace: shopName }], to: [{ group: '', kind: toKind }] },
  };
}

/** All requests for the shop's own service go to the bank's. */
const theft = virtualService([
  { route: [{ destination: { host: `vault.${bank}.svc.cluster.local`, port: { number: servicePorts.web } } }] },
]);

/** A host of the shop's whose endpoint is the bank's pod. */
function entry(address: string): Manifest {
  return {
    apiVersion: `${istio}/v1`,
    kind: 'ServiceEntry',
    metadata: { name: 'stolen', namespace: shopName, labels: { 'istio.io/use-waypoint': 'waypoint' } },
    spec: {
      hosts: ['stolen.example.com'],
      addresses: [stolenVip],
      ports: [{ number: servicePorts.web, name: 'http', protocol: 'HTTP', targetPort: serverPorts.web }],
      resolution: 'STATIC',
      endpoints: [{ address }],
    },
  };
}

rootSuite('a waypoint whose identity another namespace lets in', () => {
  let shop: Shop;
  before(async () => {
    shop = await Shop.open({
      pods: { vault: 0 },
      members: { vault: { namespace: bank, serviceAccount: 'vault', labels: { [appLabel]: 'vault' } } },
      documents: bankDocuments,
    });
    await startShopServer(shop.mesh.netns('vault'), 'vault');
  });
  after(() => shop.close());

  /** `vault` or another server, else the status or why there is none. */
  async function heard(host: string, port: number = servicePorts.web): Promise<string> {
    const { servers, statuses, failures } = await shop.client.ask({ host, port, keepAlive: false });
    return [servers, statuses, failures].flatMap((counts) => Object.keys(counts))[0] ?? '';
  }

  it('is lent to no client by a VirtualService, until the namespace wants it', async () => {
    assert.doesNotMatch(await heard(vaultVip), /vault/);
    await shop.mesh.under([theft], async () => {
      await shop.until('the VirtualService', async () => (await heard(vips.web)) === '500');
      await shop.mesh.apply('grant', [grant('VirtualService', 'Service')]);
      await shop.until('the grant', async () => (await heard(vips.web)) === 'vault');
      await shop.mesh.retract('grant');
      await shop.until('its end', async () => (await heard(vips.web)) === '500');
    });
    await shop.until('the end of the VirtualService', async () => (await heard(vips.web)).startsWith('v'));
  });

  it('is lent to no client by a ServiceEntry, until the namespace wants it', async () => {
    const address = shop.mesh.pod('vault').ipv4;
    assert.doesNotMatch(await heard(address, serverPorts.web), /vault/);
    await shop.mesh.under([entry(address)], async () => {
      await shop.until('the entry', async () => (await heard(stolenVip)) === '503');
      await shop.mesh.apply('grant', [grant('ServiceEntry', 'Pod')]);
      await shop.until('the grant', async () => (await heard(stolenVip)) === 'vault');
      await shop.mesh.retract('grant');
      await shop.until('its end', async () => (await heard(stolenVip)) === '503');
    });
  });
});
