import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { meshSettings, serviceEntry } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { sum } from '../../support/metrics.ts';
import { NameServer } from '../../support/name-servers.ts';
import { suiteOnBothFeeds } from '../../support/suite.ts';
import { call, endpoint, wasReset, whoIn } from '../../support/testkit.ts';
import type { CallResult } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const dnsPort = 5353;
const vip = '240.240.77.1';
const vip6 = '2001:2::77';

/** With addresses as a control plane has chosen them, so that a test knows them. */
function entry(spec: object): Manifest {
  const hosts = ['api.example.com'];
  const ports = [{ number: 80, name: 'tcp', protocol: 'TCP', targetPort: 8080 }];
  const made = serviceEntry({ name: 'api', namespace: 'shop', spec: { hosts, ports, resolution: 'DNS', ...spec } });
  const addresses = [vip, vip6].map((value) => ({ host: 'api.example.com', value }));
  return { ...made, status: { addresses } };
}

suiteOnBothFeeds('a ServiceEntry with resolution DNS', (feed) => {
  let mesh: Mesh;
  let names: NameServer;
  before(async () => {
    mesh = await Mesh.create({
      feed,
      nodes: 1,
      prefix: '10.78',
      pods: { client: 0, resolver: 0, first: 0, second: 0 },
      members: { client: { namespace: 'shop' } },
      servers: { first: ['whoami@[::]:8080'], second: ['whoami@[::]:8080'] },
      agents: [],
    });
    const { netns, ipv4 } = mesh.pod('resolver');
    names = await NameServer.start(netns, ipv4, dnsPort);
    await mesh.startAgent(0, { flags: ['--name-servers', `${ipv4}:${dnsPort}`] });
  });
  after(async () => {
    await names.stop();
    await mesh.remove();
  });

  const ask = (address = vip): Promise<CallResult> => call(mesh.netns('client'), endpoint(address, 80));
  const server = async (address = vip): Promise<string> => whoIn(await ask(address)).server;

  it('leads to what its host resolves to, by either family, at the first connection', async () => {
    const addresses = [mesh.pod('first').ipv4, mesh.pod('first').ipv6];
    await names.know({ 'api.example.com': { addresses } });
    await mesh.under([entry({})], async () => {
      assert.equal(await server(vip), 'first');
      assert.equal(await server(vip6), 'first');
      const result = await ask();
      assert.equal(result.peer, endpoint(vip, 80));
      const line = await mesh.line(0, { 'src.addr': result.local ?? '', direction: 'outbound' });
      assert.deepEqual([line['dst.service'], line['dst.addr']], ['api.example.com', mesh.at('first', 8080)]);
    });
  });

  it('leads to what the names of its endpoints resolve to, and goes with them', async () => {
    await names.know({ 'far.example.com': { addresses: [mesh.pod('first').ipv4], ttl: 1 } });
    await mesh.under([entry({ endpoints: [{ address: 'far.example.com' }] })], async () => {
      assert.equal(await server(), 'first');
      await names.know({ 'far.example.com': { addresses: [mesh.pod('second').ipv4], ttl: 1 } });
      const isOther = async (): Promise<boolean> => (await server()) === 'second';
      await waitFor(isOther, { timeout: 15_000, what: 'the other server' });
      await names.know({ 'far.example.com': { addresses: [], fault: 'servfail' } });
      const failed = async (): Promise<boolean> =>
        sum(await mesh.agent(0).metrics(), 'istio_on_demand_dns_total', { result: 'failed' }) > 0;
      await waitFor(failed, { timeout: 30_000, what: 'a failed lookup' });
      assert.equal(await server(), 'second');
    });
  });

  it('refuses what resolves to nothing, or to whoever asks', async () => {
    const answers = { 'none.example.com': [], 'own.example.com': ['127.0.0.1', '::1', '169.254.169.254'] };
    for (const [name, addresses] of Object.entries(answers)) {
      await names.know({ [name]: { addresses } });
      await mesh.under([entry({ endpoints: [{ address: name }] })], async () => {
        const result = await ask();
        assert.ok(wasReset(result), JSON.stringify(result));
      });
    }
  });

  it('stays open under REGISTRY_ONLY, where its addresses by themselves are not', async () => {
    await names.know({ 'api.example.com': { addresses: [mesh.pod('first').ipv4] } });
    const settings = meshSettings({ outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } });
    await mesh.under([settings, entry({})], async () => {
      assert.equal(await server(), 'first');
      assert.ok(wasReset(await call(mesh.netns('client'), mesh.at('first', 8080))));
    });
  });
});
