import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { HboneClient, HboneServer, materialOf } from '../../support/hbone/peer.ts';
import type { Material } from '../../support/hbone/messages.ts';
import { Rig } from '../../support/rig.ts';
import { rootSuite } from '../../support/suite.ts';

/** The test's own HBONE client and server against each other: what fails here is not the mesh's fault. */
rootSuite('HBONE peers of the rig', () => {
  let rig: Rig;
  let material: Material;
  let client: HboneClient;
  let server: HboneServer;
  before(async () => {
    rig = await Rig.create({ nodes: 1, pods: { client: 0, server: 0 } });
    await rig.prepare();
    material = await materialOf(rig.caFolder, 'spiffe://cluster.local/ns/shop/sa/peer');
    client = new HboneClient(rig.pod('client').netns);
    server = await HboneServer.listen(rig.pod('server').netns, material, { maxConcurrentStreams: 77 });
  });
  after(() => rig.remove());

  it('meet over TLS 1.3 and tell each other their settings', async () => {
    const tunnel = await client.open(rig.pod('server').ipv4, material);
    assert.deepEqual([tunnel.version, tunnel.alpn, tunnel.trusted], ['TLSv1.3', 'h2', true]);
    assert.equal(tunnel.names, 'URI:spiffe://cluster.local/ns/shop/sa/peer');
    assert.equal(tunnel.settings.maxConcurrentStreams, 77);
  });

  it('carry bytes on a CONNECT and end each half by itself', async () => {
    const tunnel = await client.open(rig.pod('server').ipv6, material);
    const stream = await client.connect(tunnel, '10.0.0.1:80', { forwarded: 'for="10.0.0.2:1"' });
    assert.equal((await client.exchange(stream, 'to and fro')).text, 'to and fro');
    await client.finish(stream);
    assert.deepEqual(await client.toEnd(stream), { text: 'to and fro', end: 'end', code: 0 });
    assert.equal(server.streams().at(-1)?.headers['forwarded'], 'for="10.0.0.2:1"');
  });

  it('tell of GOAWAY', async () => {
    const tunnel = await client.open(rig.pod('server').ipv4, material);
    await server.goaway();
    assert.equal((await client.goaway(tunnel)).code, 0);
  });

  it('refuse a client without a certificate', async () => {
    await assert.rejects(client.open(rig.pod('server').ipv4, null));
  });
});
