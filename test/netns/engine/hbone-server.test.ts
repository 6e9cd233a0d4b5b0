import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { HboneClient, materialOf } from '../../support/hbone/peer.ts';
import type { OpenTunnel } from '../../support/hbone/peer.ts';
import type { Material } from '../../support/hbone/messages.ts';
import { authorizationPolicy } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { endpoint } from '../../support/testkit.ts';

const guest = 'spiffe://cluster.local/ns/shop/sa/guest';
const MiB = 1024 * 1024;

/** What a peer with other code sees of our side of HBONE. */
rootSuite('HBONE server', () => {
  let mesh: Mesh;
  let material: Material;
  let client: HboneClient;
  let tunnel: OpenTunnel;
  before(async () => {
    mesh = await Mesh.create({
      ...{ nodes: 1, pods: { outside: 0, server: 0 } },
      members: { server: { namespace: 'shop', labels: { app: 'web', version: 'v7' } } },
      documents: [
        authorizationPolicy('shop', 'no-evil', {
          action: 'DENY',
          rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/evil'] } }] }],
        }),
      ],
      servers: {
        server: ['whoami@[::]:8080', 'echo@[::]:8081', 'sink@[::]:8082', 'close@[::]:8083', 'reset@[::]:8084'],
      },
    });
    material = await materialOf(mesh.rig.caFolder, guest);
    client = new HboneClient(mesh.netns('outside'));
    tunnel = await client.open(mesh.pod('server').ipv4, material);
  });
  after(() => mesh.remove());

  const at = (port: number): string => mesh.at('server', port);

  describe('handshake', () => {
    it('is TLS 1.3 with ALPN h2 and the identity of the pod in a URI', () => {
      assert.deepEqual([tunnel.version, tunnel.alpn, tunnel.trusted], ['TLSv1.3', 'h2', true]);
      assert.equal(tunnel.names, 'URI:spiffe://cluster.local/ns/shop/sa/server');
    });

    it('works over IPv6', async () => {
      const other = await client.open(mesh.pod('server').ipv6, material);
      const stream = await client.connect(other, mesh.at('server', 8081, 'ipv6'));
      assert.equal((await client.exchange(stream, 'six')).text, 'six');
    });

    it('refuses TLS 1.2', async () => {
      const opening = client.open(mesh.pod('server').ipv4, material, { maxVersion: 'TLSv1.2' });
      await assert.rejects(opening, { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    });

    it('refuses another protocol than h2', async () => {
      const opening = client.open(mesh.pod('server').ipv4, material, { alpn: ['http/1.1'] });
      await assert.rejects(opening, { code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' });
    });

    it('announces the settings of stock peers', () => {
      assert.deepEqual(tunnel.settings, {
        ...{ initialWindowSize: 4 * MiB, connectionWindow: 16 * MiB, maxFrameSize: MiB },
        ...{ maxHeaderListSize: 64 * 1024, maxConcurrentStreams: 200, enablePush: tunnel.settings.enablePush },
      });
    });

    it('answers PING', async () => {
      assert.ok((await client.ping(tunnel)).milliseconds < 1000);
    });
  });

  describe('answer', () => {
    it('is 200 with the baggage of the destination', async () => {
      const { status, headers } = await client.connect(tunnel, at(8081));
      const baggage = Object.fromEntries(
        (headers['baggage'] ?? '').split(',').map((member) => member.split('=', 2) as [string, string]),
      );
      assert.equal(status, 200);
      assert.deepEqual(baggage, {
        ...{ 'k8s.cluster.name': 'Kubernetes', 'k8s.namespace.name': 'shop', 'k8s.pod.name': 'server' },
        ...{ 'service.name': 'web', 'service.version': 'v7' },
      });
    });

    const malformed = {
      'a name without a port': 'server',
      'an address without a port': '10.77.1.11',
      'a port too large': '10.77.1.11:70000',
    };
    for (const [what, authority] of Object.entries(malformed)) {
      it(`is 400 for ${what}`, async () => {
        assert.equal((await client.connect(tunnel, authority)).status, 400);
      });
    }

    it('is 400 for another method', async () => {
      const headers = { ':method': 'GET', ':scheme': 'https', ':path': '/', ':authority': at(8080) };
      assert.equal((await client.request(tunnel, headers, true)).status, 400);
    });

    it('is 400 for an address that the connection did not come by', async () => {
      const [, grown] = await mesh.growth(0, 'ambit_flows_refused_total', { reason: 'foreign_authority' }, async () => {
        for (const authority of [
          endpoint(mesh.pod('outside').ipv4, 8080),
          mesh.at('server', 8080, 'ipv6'),
          '127.0.0.1:8080',
        ]) {
          assert.equal((await client.connect(tunnel, authority)).status, 400);
        }
      });
      assert.equal(grown, 3);
    });

    it('is 401 for a caller that policy denies, which log and metric name', async () => {
      const evil = await materialOf(mesh.rig.caFolder, 'spiffe://cluster.local/ns/shop/sa/evil');
      const other = await client.open(mesh.pod('server').ipv4, evil);
      const labels = { response_flags: 'DENY', reporter: 'destination', source_principal: /evil$/ };
      const [{ status }, grown] = await mesh.growth(0, 'istio_tcp_connections_failed_total', labels, () =>
        client.connect(other, at(8080)),
      );
      assert.deepEqual([status, grown], [401, 1]);
      const line = await mesh.line(0, { 'src.identity': /evil$/ });
      assert.equal(line['policy'], 'shop/no-evil');
    });

    it('is 503 where nobody listens', async () => {
      assert.equal((await client.connect(tunnel, at(7))).status, 503);
    });

    it('is 503 for a name, which nobody resolves here', async () => {
      assert.equal((await client.connect(tunnel, 'server.shop.svc.cluster.local:80')).status, 503);
    });

    it('does not end the tunnel, whatever it was', async () => {
      const stream = await client.connect(tunnel, at(8081));
      assert.equal((await client.exchange(stream, 'still here')).text, 'still here');
    });
  });

  describe('stream', () => {
    it('shows the server the address of the tunnel, not the one that a header claims', async () => {
      const stream = await client.connect(tunnel, at(8080), { forwarded: 'for="10.9.9.9:999"' });
      await client.send(stream, 'who\n');
      await client.finish(stream);
      const answer = JSON.parse((await client.toEnd(stream)).text) as { peer: string; local: string };
      assert.ok(answer.peer.startsWith(`${mesh.pod('outside').ipv4}:`), answer.peer);
      assert.equal(answer.local, at(8080));
    });

    it('ends the half of the client alone', async () => {
      const stream = await client.connect(tunnel, at(8082));
      await client.send(stream, 'x'.repeat(1000));
      await client.finish(stream);
      const { text, end } = await client.toEnd(stream);
      assert.deepEqual([JSON.parse(text), end], [{ received: 1000 }, 'end']);
    });

    it('ends the half of the server alone', async () => {
      const stream = await client.connect(tunnel, at(8083));
      await client.send(stream, 'once');
      assert.deepEqual(await client.toEnd(stream), { text: 'once', end: 'end', code: 0 });
    });

    it('passes a reset of the server on', async () => {
      const stream = await client.connect(tunnel, at(8084));
      await client.send(stream, 'once');
      assert.equal((await client.toEnd(stream)).end, 'reset');
    });

    it('carries a megabyte to and fro', async () => {
      const stream = await client.connect(tunnel, at(8081));
      const text = 'abcdefgh'.repeat(MiB / 8);
      assert.equal((await client.exchange(stream, text)).text, text);
    });

    it('leaves its line with identities, the target and the bytes', async () => {
      const stream = await client.connect(tunnel, at(8083));
      await client.send(stream, 'once');
      await client.toEnd(stream);
      await client.finish(stream);
      const line = await mesh.line(0, { 'dst.hbone_addr': at(8083), 'src.identity': guest, bytes_sent: 4 });
      assert.equal(line['dst.identity'], 'spiffe://cluster.local/ns/shop/sa/server');
      assert.deepEqual([line['direction'], line['dst.addr']], ['inbound', at(15008)]);
    });
  });
});
