import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { appLabel, service } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { rootSuite } from '../../support/suite.ts';
import { gateway, marked, markHeader, shop as shopNamespace } from '../../support/waypoints/documents.ts';
import { serverPorts, servicePorts } from '../../support/waypoints/ports.ts';
import { Shop, waypointPod } from '../../support/waypoints/shop.ts';
import { startShopServer } from '../../support/waypoints/shop-client.ts';

const cafe = 'cafe';
const gatewayName = 'gateway.networking.k8s.io/gateway-name';
const vips = { open: ['10.96.77.10', 'fd00:96:77::10'], denied: ['10.96.77.11'] } as const;

/** A waypoint of the shop that lets other namespaces in. */
function shared(annotations: Readonly<Record<string, string>> = {}): Manifest {
  const { metadata, ...rest } = gateway('shared');
  const listener = { name: 'mesh', port: 15008, protocol: 'HBONE', allowedRoutes: { namespaces: { from: 'All' } } };
  return {
    ...rest,
    metadata: { ...metadata, annotations },
    spec: { gatewayClassName: 'istio-waypoint', listeners: [listener] },
  };
}

/** A Service of the cafe that asks for a waypoint of the shop. */
function asking(name: 'open' | 'denied', waypoint: string): Manifest {
  const ports = [{ name: 'http', port: servicePorts.web, targetPort: serverPorts.web }];
  const selector = { [appLabel]: cafe };
  const made = service({ name, namespace: cafe, vips: vips[name], ports: {}, selector, spec: { ports } });
  const labels = { 'istio.io/use-waypoint': waypoint, 'istio.io/use-waypoint-namespace': shopNamespace };
  return { ...made, metadata: { ...made.metadata, labels } };
}

const route: Manifest = {
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name: 'open', namespace: cafe },
  spec: {
    parentRefs: [{ group: '', kind: 'Service', name: 'open', port: servicePorts.web }],
    rules: [{ filters: [marked('shared')], backendRefs: [{ name: 'open', port: servicePorts.web }] }],
  },
};

rootSuite('a service of another namespace than its waypoint', () => {
  let shop: Shop;
  before(async () => {
    shop = await Shop.open({
      pods: { cafe: 1, 'shared-1': 1 },
      members: {
        cafe: { namespace: cafe, labels: { [appLabel]: cafe } },
        'shared-1': { ...waypointPod, serviceAccount: 'shared', labels: { [gatewayName]: 'shared' } },
      },
      documents: [asking('open', 'shared'), asking('denied', 'waypoint'), route],
    });
    await startShopServer(shop.mesh.netns('cafe'), 'cafe');
    await shop.mesh.apply('shared', [shared()]);
    await shop.proxyReady('shared-1');
  });
  after(() => shop.close());

  const refused = async (): Promise<boolean> => {
    const { failures } = await shop.ask({ host: vips.open[0], keepAlive: false });
    return failures['ECONNRESET'] === 1;
  };

  const answered = async (mark: string | undefined): Promise<void> => {
    await shop.until(`an answer marked ${mark ?? 'by nobody'}`, async () => {
      const { statuses, headers } = await shop.ask({ host: vips.open[0], keepAlive: false });
      return statuses['200'] === 1 && headers[markHeader] === mark;
    });
  };

  for (const host of vips.open) {
    it(`is reached through it where that lets its namespace in, at ${host}`, async () => {
      await answered('shared');
      const { statuses, headers } = await shop.ask({ host });
      assert.deepEqual([statuses, headers[markHeader]], [{ 200: 1 }, 'shared']);
    });
  }

  it('is refused where it does not, and says why', async () => {
    const { failures } = await shop.ask({ host: vips.denied[0] });
    assert.deepEqual(failures, { ECONNRESET: 1 });
    const { body } = await shop.mesh.rig.control.page('debug', '/debug/status');
    const conditions = JSON.parse(body) as readonly { resource: string; type: string; reason: string }[];
    const told = conditions.filter(({ resource }) => resource === `Service ${cafe}/denied`);
    assert.deepEqual(
      told.map(({ type, reason }) => [type, reason]),
      [['istio.io/WaypointBound', 'AttachmentDenied']],
    );
  });

  it('is refused while no pod of it is ready, unless it may be gone past', async () => {
    await shop.mesh.changePod('shared-1', { ready: false });
    await shop.until('the refusal', refused);
    await shop.mesh.apply('shared', [shared({ 'ambit.dev/waypoint-unready': 'direct' })]);
    await answered(undefined);
    await shop.mesh.apply('shared', [shared()]);
    await shop.until('the refusal', refused);
    await shop.mesh.changePod('shared-1');
    await answered('shared');
  });
});
