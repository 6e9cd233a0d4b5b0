import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { service } from '../../support/manifests.ts';
import type { ServiceManifest } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { suiteOnBothFeeds } from '../../support/suite.ts';
import { call, calls, endpoint, wasReset, whoIn } from '../../support/testkit.ts';

const vip = '10.96.0.1';
const vip6 = 'fd96::1';
const opened = 'istio_tcp_connections_opened_total';

suiteOnBothFeeds('services', (feed) => {
  let mesh: Mesh;
  before(async () => {
    const common = { namespace: 'shop', labels: { app: 'web' } } as const;
    const servers = ['whoami@[::]:8080', 'whoami@[::]:8081'];
    mesh = await Mesh.create({
      feed,
      pods: { client: 0, near: 0, far: 1, stranger: 1 },
      members: {
        client: { namespace: 'shop' },
        near: { ...common, namedPorts: { http: 8080 } },
        far: { ...common, namedPorts: { http: 8081 } },
      },
      servers: { near: servers, far: servers, stranger: servers },
    });
  });
  after(() => mesh.remove());

  const web = (change: Partial<ServiceManifest> = {}): ServiceManifest => ({
    ...{ name: 'web', namespace: 'shop', vips: [vip, vip6], ports: { 80: 8080 }, selector: { app: 'web' } },
    ...change,
  });
  const withService = (change: Partial<ServiceManifest>, run: () => Promise<void>): Promise<void> =>
    mesh.under([service(web(change))], run);

  /** Who answered, and on which port. */
  async function answers(address: string, count = 24): Promise<string[]> {
    const results = await calls(mesh.netns('client'), Array<string>(count).fill(address));
    return [...new Set(results.map((result) => portAnd(whoIn(result))))].sort();
  }

  it('are reached by their virtual addresses, spread over the endpoints of both nodes', async () => {
    await withService({}, async () => {
      assert.deepEqual(await answers(endpoint(vip, 80)), ['far 8080', 'near 8080']);
      assert.deepEqual(await answers(endpoint(vip6, 80)), ['far 8080', 'near 8080']);
    });
  });

  it('are seen by the application under the address that it asked for', async () => {
    await withService({}, async () => {
      const { peer, local } = await call(mesh.netns('client'), endpoint(vip, 80));
      assert.equal(peer, endpoint(vip, 80));
      assert.ok(local?.startsWith(`${mesh.pod('client').ipv4}:`));
    });
  });

  it('are named in log and metric', async () => {
    await withService({}, async () => {
      const labels = { reporter: 'source', destination_service: 'web.shop.svc.cluster.local' };
      const names = { ...labels, destination_service_name: 'web', destination_service_namespace: 'shop' };
      const [result, grown] = await mesh.growth(0, opened, names, () => call(mesh.netns('client'), endpoint(vip, 80)));
      assert.equal(grown, 1);
      const line = await mesh.line(0, { 'src.addr': result.local ?? '', direction: 'outbound' });
      assert.equal(line['dst.service'], 'web.shop.svc.cluster.local');
    });
  });

  it('lead to a named target port by the names of each pod', async () => {
    await withService({ ports: { 80: 'http' } }, async () => {
      assert.deepEqual(await answers(endpoint(vip, 80)), ['far 8081', 'near 8080']);
    });
  });

  it('lead each of several ports to its own target', async () => {
    await withService({ ports: { 80: 8080, 81: 8081 } }, async () => {
      assert.deepEqual(await answers(endpoint(vip, 81)), ['far 8081', 'near 8081']);
    });
  });

  it('leave out a pod without the named port', async () => {
    await mesh.changePod('far', { namedPorts: {} });
    await withService({ ports: { 80: 'http' } }, async () => {
      assert.deepEqual(await answers(endpoint(vip, 80)), ['near 8080']);
    });
    await mesh.changePod('far');
  });

  it('refuse a port that they do not have', async () => {
    await withService({}, async () => {
      const result = await call(mesh.netns('client'), endpoint(vip, 82));
      assert.ok(wasReset(result), JSON.stringify(result));
      const line = await mesh.line(0, { 'src.addr': result.local ?? '' });
      assert.match(String(line['error']), /no_healthy_upstream/);
    });
  });

  it('avoid an endpoint that is not ready, and come back to it', async () => {
    await withService({}, async () => {
      await mesh.changePod('far', { ready: false });
      assert.deepEqual(await answers(endpoint(vip, 80)), ['near 8080']);
      await mesh.changePod('far');
      assert.deepEqual(await answers(endpoint(vip, 80)), ['far 8080', 'near 8080']);
    });
  });

  it('refuse when no endpoint is ready', async () => {
    await withService({ selector: { app: 'nobody' } }, async () => {
      const result = await call(mesh.netns('client'), endpoint(vip, 80));
      assert.ok(wasReset(result), JSON.stringify(result));
    });
  });

  it('still let an endpoint that is not ready be reached by its own address', async () => {
    await mesh.changePod('far', { ready: false });
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('far', 8080))).server, 'far');
    await mesh.changePod('far');
  });

  describe('with wishes about distance', () => {
    const wishes = {
      'internalTrafficPolicy: Local': { internalTrafficPolicy: 'Local' },
      'trafficDistribution: PreferSameNode': { trafficDistribution: 'PreferSameNode' },
    };
    for (const [wish, spec] of Object.entries(wishes)) {
      it(`stay on the node by ${wish}`, async () => {
        await withService({ spec }, async () => {
          assert.deepEqual(await answers(endpoint(vip, 80)), ['near 8080']);
        });
      });
    }

    it('refuse by internalTrafficPolicy: Local where the node has no endpoint that is ready', async () => {
      await mesh.changePod('near', { ready: false });
      await withService({ spec: { internalTrafficPolicy: 'Local' } }, async () => {
        assert.equal((await call(mesh.netns('client'), endpoint(vip, 80))).ok, false);
      });
      await mesh.changePod('near');
    });

    it('go elsewhere by PreferSameNode where the node has no endpoint that is ready', async () => {
      await mesh.changePod('near', { ready: false });
      await withService({ spec: { trafficDistribution: 'PreferSameNode' } }, async () => {
        assert.deepEqual(await answers(endpoint(vip, 80)), ['far 8080']);
      });
      await mesh.changePod('near');
    });
  });

  it('include endpoints that are no members, in plaintext', async () => {
    const { ipv4, ipv6, netns } = mesh.pod('stranger');
    const document = mesh.rig.podManifest('stranger', {
      ...{ namespace: 'shop', labels: { app: 'web', 'istio.io/dataplane-mode': 'none' } },
      ...{ netns, addresses: [ipv4, ipv6] },
    });
    await mesh.under([document, service(web())], async () => {
      assert.deepEqual(await answers(endpoint(vip, 80), 40), ['far 8080', 'near 8080', 'stranger 8080']);
    });
  });
});

function portAnd({ server, local }: { readonly server: string; readonly local: string }): string {
  return `${server} ${local.replace(/^.*:/, '')}`;
}
