import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, it } from 'node:test';

import { CONTROL_ADDRESSES } from '../../../src/model/automatic-address.ts';
import { CONTROL_PORT } from '../../../src/ztunnel/control-address.ts';
import { serviceEntry } from '../../support/manifests.ts';
import { sum } from '../../support/metrics.ts';
import { NameServer } from '../../support/name-servers.ts';
import { rootSuite } from '../../support/suite.ts';
import { httpRoute, marked, shop as shopName, toVersion } from '../../support/waypoints/documents.ts';
import { servicePorts } from '../../support/waypoints/ports.ts';
import { Shop } from '../../support/waypoints/shop.ts';

const waypoint = 'waypoint-a';
const host = 'lead.example.com';
const vip = '240.77.0.7';
const discovery = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';

/** A tenant's host, which the waypoint's proxy looks up. */
const entry = serviceEntry({
  name: 'lead',
  namespace: shopName,
  labels: { 'istio.io/use-waypoint': 'waypoint' },
  spec: {
    hosts: [host],
    addresses: [vip],
    ports: [{ number: servicePorts.rpc, name: 'grpc', protocol: 'GRPC', targetPort: CONTROL_PORT }],
    resolution: 'DNS',
  },
});

/** The name server that processes of this machine ask. */
async function resolver(): Promise<string> {
  const [, address] = /^nameserver ([0-9.]+)$/m.exec(await readFile('/etc/resolv.conf', 'utf8')) ?? [];
  assert.ok(address !== undefined, 'no name server of IPv4 in /etc/resolv.conf');
  return address;
}

rootSuite('the stream between a proxy and its control plane', () => {
  let shop: Shop;
  let names: NameServer;
  before(async () => {
    shop = await Shop.open({ pods: { resolver: 1 } });
    const address = await resolver();
    const { ipv4 } = shop.mesh.pod('resolver');
    const ip = (pod: string, ...words: string[]) => shop.mesh.rig.exec(shop.mesh.pod(pod), ['ip', ...words]);
    await ip('resolver', 'addr', 'add', `${address}/32`, 'dev', 'lo');
    await ip(waypoint, 'route', 'add', address, 'via', ipv4);
    names = await NameServer.start(shop.mesh.netns('resolver'), address, 53);
  });
  after(async () => {
    await names.stop();
    await shop.close();
  });

  for (const address of CONTROL_ADDRESSES) {
    it(`is lent to no client by a name that leads to ${address}`, async () => {
      await names.know({ [host]: { addresses: [address] } });
      await shop.mesh.under([entry], async () => {
        const before = await refusals();
        // Until the proxy has looked the name up there is no way, either.
        await shop.until('the refusal', async () => (await isUnavailable()) && (await refusals()) > before);
      });
    });
  }

  async function isUnavailable(): Promise<boolean> {
    const headers = { 'content-type': 'application/grpc', te: 'trailers' };
    const wish = { host: vip, port: servicePorts.rpc, method: 'POST', path: discovery, http2: true, headers };
    const { headers: answer } = await shop.client.ask({ ...wish, keepAlive: false });
    return answer['grpc-status'] === '14';
  }

  async function refusals(): Promise<number> {
    const metrics = await shop.mesh.agent(1).metrics();
    return sum(metrics, 'ambit_flows_refused_total', { reason: 'not_the_proxys_own' });
  }

  it('brings changes as ever', async () => {
    const rule = { backendRefs: [toVersion('v2')], filters: [marked('own')] };
    await shop.route('own', [httpRoute([rule])]);
    assert.deepEqual((await shop.ask()).servers, { v2: 1 });
  });
});
