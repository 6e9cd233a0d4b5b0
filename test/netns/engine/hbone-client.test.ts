import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';

import { HboneServer, materialOf } from '../../support/hbone/peer.ts';
import type { SeenStream } from '../../support/hbone/peer.ts';
import type { Material } from '../../support/hbone/messages.ts';
import { service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { dropping } from '../../support/packet-filter.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, calls, hold, wasReset } from '../../support/testkit.ts';
import type { CallResult } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const MiB = 1024 * 1024;
/** The ports to which the test's server answers in ways of its own. */
const ports = { echo: 8080, refuse: 7401, endFirst: 7402, reset: 7403 } as const;
const identity = (name: string): string => `spiffe://cluster.local/ns/shop/sa/${name}`;

/** What a server with other code sees of our tunnels. No agent runs on its node: port 15008 is the test's own. */
rootSuite('HBONE client', () => {
  let mesh: Mesh;
  let material: Material;
  let server: HboneServer;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, other: 0, peer: 1 },
      members: {
        client: { namespace: 'shop', labels: { app: 'front', version: 'v3' } },
        other: { namespace: 'shop' },
        peer: { namespace: 'shop' },
      },
      documents: [
        service({
          ...{ name: 'peer', namespace: 'shop', vips: ['10.96.0.20'] },
          ...{ ports: { 80: ports.echo }, selector: { app: 'peer' } },
        }),
      ],
      agents: [0],
      agentOptions: { flags: ['--threads', '1', '--connect-timeout', '3s'] },
    });
    material = await materialOf(mesh.rig.caFolder, identity('peer'));
  });
  after(() => mesh.remove());
  beforeEach(async () => {
    server = await HboneServer.listen(mesh.netns('peer'), material);
  });
  afterEach(async () => {
    await server.stop();
  });

  const reach = (port: number, options: readonly string[] = [], from = 'client'): Promise<CallResult> =>
    call(mesh.netns(from), mesh.at('peer', port), options);

  async function lastStream(): Promise<SeenStream> {
    return waitFor(() => server.streams().at(-1), { what: 'a stream at the server' });
  }

  describe('sends', () => {
    it('TLS 1.3 with the certificate of the pod, its address, and no server name', async () => {
      assert.equal((await reach(ports.echo)).ok, true);
      const [tunnel] = server.tunnels();
      assert.equal(tunnel?.version, 'TLSv1.3');
      assert.equal(tunnel.names, `URI:${identity('client')}`);
      assert.ok(tunnel.peer.includes(mesh.pod('client').ipv4), tunnel.peer);
      assert.ok(tunnel.serverName === null || tunnel.serverName === false || tunnel.serverName === '');
    });

    it('a plain CONNECT to the address and port of the pod', async () => {
      await reach(ports.echo);
      const { headers } = await lastStream();
      assert.equal(headers[':method'], 'CONNECT');
      assert.equal(headers[':authority'], mesh.at('peer', ports.echo));
      assert.deepEqual([headers[':path'], headers[':scheme'], headers[':protocol']], [undefined, undefined, undefined]);
    });

    it('the baggage of the source', async () => {
      await reach(ports.echo);
      const { headers } = await lastStream();
      assert.deepEqual((headers['baggage'] ?? '').split(','), [
        'k8s.cluster.name=Kubernetes',
        'k8s.namespace.name=shop',
        'k8s.pod.name=client',
        'service.name=front',
        'service.version=v3',
      ]);
    });

    it('the address of the client in `forwarded`', async () => {
      const { local } = await reach(ports.echo);
      assert.equal((await lastStream()).headers['forwarded'], `for="${local ?? ''}"`);
    });

    it('the name of the service, where one was asked for, and the address of the pod all the same', async () => {
      const { local, ok } = await call(mesh.netns('client'), '10.96.0.20:80');
      const { headers } = await lastStream();
      assert.equal(ok, true);
      assert.equal(headers['forwarded'], `for="${local ?? ''}";host=peer.shop.svc.cluster.local`);
      assert.equal(headers[':authority'], mesh.at('peer', ports.echo));
    });

    it('a trace context of its own for each connection', async () => {
      await calls(mesh.netns('client'), [mesh.at('peer', ports.echo), mesh.at('peer', ports.echo)]);
      const traces = server.streams().map(({ headers }) => headers['traceparent'] ?? '');
      for (const trace of traces) assert.match(trace, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
      assert.equal(new Set(traces).size, 2);
    });

    it('the settings of stock peers', async () => {
      await reach(ports.echo);
      const { settings } = await lastStream();
      assert.deepEqual(settings, {
        ...{ initialWindowSize: 4 * MiB, connectionWindow: 16 * MiB, maxFrameSize: MiB },
        ...{ maxHeaderListSize: 16 * 1024, enablePush: false },
        maxConcurrentStreams: settings.maxConcurrentStreams,
      });
    });

    it('PING on a tunnel that stays', async () => {
      await reach(ports.echo);
      await waitFor(() => server.seen().find((seen) => seen.event === 'ping'), { timeout: 15_000, what: 'PING' });
    });
  });

  describe('passes on', () => {
    it('the bytes, both ways', async () => {
      const { ok, received } = await reach(ports.echo, ['--bytes', '3000000', '--until', 'bytes']);
      assert.deepEqual([ok, received], [true, 3_000_000]);
    });

    it("the end of the client's half, and the answer after it", async () => {
      const { ok, text, end } = await reach(ports.echo, ['--half-close', '--until', 'eof', '--send', 'last words']);
      assert.deepEqual([ok, text, end], [true, 'last words', 'fin']);
    });

    it("the end of the server's half, and what the client sends after it", async () => {
      const held = await hold(mesh.netns('client'), [mesh.at('peer', ports.endFirst)]);
      held.write('read 0\n');
      const read = JSON.parse(await held.line((line) => line.includes('"read"'))) as { bytes: number; end: string };
      assert.deepEqual([read.bytes, read.end], [18, 'fin']);
      held.write('send 0 54321\n');
      await held.line((line) => line.includes('"send"'));
      held.write('half-close 0\n');
      await waitFor(() => server.seen().find((seen) => seen.event === 'end' && seen.received === 54_321), {
        what: 'all bytes and their end at the server',
      });
      await held.finish();
    });

    it('a reset of the server', async () => {
      const { end } = await reach(ports.reset, ['--until', 'eof']);
      assert.equal(end, 'reset');
    });

    it('a reset of the client', async () => {
      const held = await hold(mesh.netns('client'), [mesh.at('peer', ports.echo)]);
      held.write('exchange 0 10\n');
      await held.line((line) => line.includes('"exchange"'));
      held.write('reset 0\n');
      await waitFor(() => server.seen().find((seen) => seen.event === 'stream-closed' && seen.code === 8), {
        what: 'RST_STREAM with CANCEL at the server',
      });
      await held.finish();
    });

    it('a refusal as RST, never as an orderly end', async () => {
      const labels = { response_flags: /DENY|CONNECT/, reporter: 'source', source_workload: 'client' };
      const [result, grown] = await mesh.growth(0, 'istio_tcp_connections_failed_total', labels, () =>
        reach(ports.refuse, ['--until', 'eof']),
      );
      assert.ok(wasReset(result), JSON.stringify(result));
      assert.equal(grown, 1);
      const line = await mesh.line(0, { 'src.addr': result.local ?? '' });
      assert.match(String(line['error']), /401/);
    });
  });

  describe('keeps tunnels', () => {
    it('one for many connections of a pod', async () => {
      const target = mesh.at('peer', ports.echo);
      await calls(mesh.netns('client'), Array<string>(40).fill(target), ['--together']);
      assert.equal(server.streams().length, 40);
      assert.equal(server.tunnels().length, 1);
    });

    it('of its own for each pod', async () => {
      await reach(ports.echo, [], 'client');
      await reach(ports.echo, [], 'other');
      const names = server.tunnels().map((tunnel) => tunnel.names);
      assert.deepEqual(names.sort(), [`URI:${identity('client')}`, `URI:${identity('other')}`]);
    });

    it('a second one when a hundred streams are open on the first', async () => {
      const held = await hold(mesh.netns('client'), [mesh.at('peer', ports.echo), '--count', '120']);
      for (let id = 0; id < 120; id++) held.write(`exchange ${id} 100\n`);
      await waitFor(() => held.lines.filter((line) => line.includes('"bytes":100')).length === 120, {
        what: '120 exchanges',
      });
      const perTunnel = [0, 1].map((tunnel) => server.streams().filter((seen) => seen.tunnel === tunnel).length);
      assert.deepEqual([server.tunnels().length, ...perTunnel], [2, 100, 20]);
      await held.finish();
    });

    it('within what the server allows', async () => {
      await server.stop();
      server = await HboneServer.listen(mesh.netns('peer'), material, { maxConcurrentStreams: 10 });
      // The limit is known to a tunnel once the server's SETTINGS are there.
      await reach(ports.echo);
      const held = await hold(mesh.netns('client'), [mesh.at('peer', ports.echo), '--count', '25']);
      for (let id = 0; id < 25; id++) held.write(`exchange ${id} 100\n`);
      await waitFor(() => held.lines.filter((line) => line.includes('"bytes":100')).length === 25, {
        what: '25 exchanges',
      });
      assert.ok(server.tunnels().length >= 3, `${server.tunnels().length} tunnels`);
      await held.finish();
    });

    it('until GOAWAY: what is open goes on, what is new gets another', async () => {
      const held = await hold(mesh.netns('client'), [mesh.at('peer', ports.echo)]);
      held.write('exchange 0 10\n');
      await held.line((line) => line.includes('"bytes":10,'));
      await server.goaway();
      const { ok } = await reach(ports.echo);
      assert.equal(ok, true);
      assert.equal(server.tunnels().length, 2);
      held.write('exchange 0 11\n');
      await held.line((line) => line.includes('"bytes":11,'));
      await held.finish();
    });

    it('and when one breaks, its connections end by RST and the next is made', async () => {
      const held = await hold(mesh.netns('client'), [mesh.at('peer', ports.echo)]);
      held.write('exchange 0 10\n');
      await held.line((line) => line.includes('"bytes":10,'));
      await server.destroy();
      held.write('read 0\n');
      const read = JSON.parse(await held.line((line) => line.includes('"read"'))) as { end: string };
      assert.equal(read.end, 'reset');
      assert.equal((await reach(ports.echo)).ok, true);
      await held.finish();
    });

    it('not for another pod at the same address', async () => {
      await reach(ports.echo);
      await mesh.changePod('peer', { uid: 'another-uid' });
      await reach(ports.echo);
      assert.equal(server.tunnels().length, 2);
      await mesh.changePod('peer');
    });
  });

  describe('of a destination that does not answer', () => {
    it('lets all who ask wait for one connect, and tells the operator of network policies', async () => {
      const labels = { response_flags: 'NETWORK_POLICY', reporter: 'source' };
      const asking = () =>
        Promise.all(Array.from({ length: 12 }, () => reach(ports.echo, ['--timeout', '9000'], 'other')));
      const [[results, grown], lost] = await dropping(mesh.netns('peer'), 'input', 'tcp dport 15008', () =>
        mesh.growth(0, 'istio_tcp_connections_failed_total', labels, asking),
      );
      for (const result of results) {
        assert.ok(wasReset(result), JSON.stringify(result));
        assert.ok(result.durationMicros < 5_000_000, `one connect's time limit, not several: ${result.durationMicros}`);
      }
      assert.equal(grown, 12);
      assert.ok(lost <= 4, `the SYNs of one connect, not of twelve: ${lost}`);
      const line = await mesh.line(0, { 'src.addr': results[0]?.local ?? '' });
      assert.match(String(line['error']), /network policy.*15008/);
    });
  });

  describe('trusts', () => {
    it('nobody but the identity that the pod should have', async () => {
      await server.stop();
      server = await HboneServer.listen(mesh.netns('peer'), await materialOf(mesh.rig.caFolder, identity('impostor')));
      const labels = { response_flags: 'TLS_FAILURE', reporter: 'source' };
      const [result, grown] = await mesh.growth(0, 'istio_tcp_connections_failed_total', labels, () =>
        reach(ports.echo),
      );
      assert.ok(wasReset(result), JSON.stringify(result));
      assert.deepEqual([grown, server.streams().length], [1, 0]);
    });

    it('no plaintext in place of a tunnel that does not come about', async () => {
      await server.stop();
      const [result, heard] = await mesh.heard('peer', ['secret-in-the-clear'], () =>
        reach(ports.echo, ['--send', 'secret-in-the-clear']),
      );
      assert.ok(wasReset(result), JSON.stringify(result));
      assert.equal(heard.needles['secret-in-the-clear'], 0);
      assert.deepEqual(
        Object.keys(heard.flows).filter((flow) => !flow.includes(':15008')),
        [],
      );
    });
  });
});
