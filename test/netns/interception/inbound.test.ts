import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { findLines } from '../../support/access-log.ts';
import { HboneClient, materialOf } from '../../support/hbone/peer.ts';
import { service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, capture, endpoint, stream, wasReset, whoIn } from '../../support/testkit.ts';
import { podInterface } from '../../support/topology.ts';

const opened = 'istio_tcp_connections_opened_total';
const clientIdentity = 'spiffe://cluster.local/ns/shop/sa/guest';
const vip = '10.96.0.10';
const vip6 = 'fd96::10';

rootSuite('inbound interception', () => {
  let mesh: Mesh;
  before(async () => {
    const common = ['whoami@[::]:8080', 'echo@[::]:8081', 'source@[::]:8083'];
    mesh = await Mesh.create({
      pods: { client: 0, near: 0, outside: 0, far: 1, 'far-outside': 1 },
      members: { client: { namespace: 'shop' }, near: { namespace: 'shop' }, far: { namespace: 'shop' } },
      documents: [
        service({
          ...{ name: 'far', namespace: 'shop', vips: [vip, vip6] },
          ...{ ports: { 80: 8080 }, selector: { app: 'far' } },
        }),
      ],
      // The pod has the mesh's well-known ports for itself, as an application may.
      servers: {
        near: common,
        far: [...common, 'whoami@[::]:15001', 'whoami@[::]:15006', 'whoami@[::]:15008'],
        outside: common,
      },
    });
  });
  after(() => mesh.remove());

  describe('shows the server its client', () => {
    const sources = { 'another node': ['client', 'far'], 'the same node': ['client', 'near'] } as const;
    for (const [place, [from, to]] of Object.entries(sources)) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        it(`of ${place} over ${family}`, async () => {
          const answer = whoIn(await call(mesh.netns(from), mesh.at(to, 8080, family)));
          assert.equal(answer.server, to);
          assert.equal(hostOf(answer.peer), endpoint(mesh.pod(from)[family], ''));
          assert.equal(answer.local, mesh.at(to, 8080, family));
        });
      }
    }

    for (const from of ['outside', 'far-outside']) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        it(`that sends plaintext from ${from} over ${family}`, async () => {
          const labels = {
            reporter: 'destination',
            destination_workload: 'near',
            connection_security_policy: 'unknown',
          };
          const [result, grown] = await mesh.growth(0, opened, labels, () =>
            call(mesh.netns(from), mesh.at('near', 8080, family)),
          );
          assert.equal(hostOf(whoIn(result).peer), endpoint(mesh.pod(from)[family], ''));
          assert.equal(grown, 1);
          const line = await mesh.line(0, { 'src.addr': result.local ?? '' });
          assert.deepEqual([line['direction'], line['src.identity']], ['inbound', undefined]);
        });
      }
    }
  });

  describe('lets a server speak first', () => {
    const ways = [
      ['client', 'far'],
      ['client', 'near'],
      ['outside', 'far'],
      ['client', 'outside'],
    ] as const;
    for (const [from, to] of ways) {
      it(`in ${to} towards ${from}`, async () => {
        const options = [mesh.at(to, 8083), '--direction', 'down', '--duration', '100'];
        const { bytes, failures } = await stream(mesh.netns(from), options);
        assert.ok(bytes > 0);
        assert.deepEqual(failures, []);
      });
    }
  });

  describe('of a pod that calls itself', () => {
    for (const family of ['ipv4', 'ipv6'] as const) {
      it(`by its ${family} address stays in the pod`, async () => {
        const result = await call(mesh.netns('far'), mesh.at('far', 8080, family));
        assert.equal(hostOf(whoIn(result).peer), endpoint(mesh.pod('far')[family], ''));
        assert.deepEqual(findLines(await mesh.agent(1).accessLog(), { 'src.addr': result.local ?? '' }), []);
      });
    }

    for (const address of [endpoint(vip, 80), endpoint(vip6, 80)]) {
      it(`by the virtual address ${address} comes back to it`, async () => {
        const labels = { connection_security_policy: 'node_local', destination_workload: 'far', reporter: 'source' };
        const [[result, grown], heard] = await mesh.heard('far', [], () =>
          mesh.growth(1, opened, labels, () => call(mesh.netns('far'), address)),
        );
        const answer = whoIn(result);
        assert.deepEqual([answer.server, result.peer, grown], ['far', address, 1]);
        assert.ok(answer.peer.startsWith(hostOf(mesh.at('far', 0, address.startsWith('[') ? 'ipv6' : 'ipv4'))));
        assert.deepEqual(heard.flows, {}, 'nothing of it leaves the pod');
      });
    }
  });

  describe("leaves a pod the mesh's own port numbers", () => {
    for (const port of [15001, 15006, 15008]) {
      it(`${port} from inside`, async () => {
        for (const address of [mesh.at('far', port), mesh.at('far', port, 'ipv6'), endpoint('127.0.0.1', port)]) {
          assert.equal(whoIn(await call(mesh.netns('far'), address)).server, 'far');
        }
      });
    }

    for (const port of [15001, 15006]) {
      for (const from of ['client', 'outside']) {
        it(`${port} from ${from}`, async () => {
          const answer = whoIn(await call(mesh.netns(from), mesh.at('far', port)));
          assert.deepEqual([answer.server, answer.local], ['far', mesh.at('far', port)]);
        });
      }
    }

    for (const from of ['client', 'outside']) {
      it(`but 15008 from ${from} is never the application's`, async () => {
        const { ok, text, end } = await call(mesh.netns(from), mesh.at('far', 15008), ['--timeout', '12000']);
        assert.equal(ok, false);
        assert.ok(!text.includes('"server"'), text);
        assert.ok(['fin', 'reset', 'error', 'none'].includes(end), end);
      });
    }
  });

  describe('of CONNECT to ports of the mesh itself', () => {
    let client: HboneClient;
    before(() => {
      client = new HboneClient(mesh.netns('outside'));
    });

    it('answers 503 for 15008', async () => {
      const tunnel = await client.open(mesh.pod('far').ipv4, await materialOf(mesh.rig.caFolder, clientIdentity));
      assert.equal((await client.connect(tunnel, mesh.at('far', 15008))).status, 503);
    });

    it('answers 503 for every port that the engine listens on', async () => {
      const own = await enginePorts(mesh, 'far', [8080, 8081, 8083, 15001, 15006, 15008]);
      assert.ok(own.length >= 3, `the engine listens in the pod: ${own.join()}`);
      const tunnel = await client.open(mesh.pod('far').ipv4, await materialOf(mesh.rig.caFolder, clientIdentity));
      for (const port of own) assert.equal((await client.connect(tunnel, mesh.at('far', port))).status, 503);
    });

    it('counts them as calls of itself', async () => {
      const material = await materialOf(mesh.rig.caFolder, clientIdentity);
      const [, grown] = await mesh.growth(1, 'ambit_flows_refused_total', { reason: 'self_call' }, async () => {
        const tunnel = await client.open(mesh.pod('far').ipv4, material);
        await client.connect(tunnel, mesh.at('far', 15008));
      });
      assert.equal(grown, 1);
    });
  });

  describe('of a closed port of the application', () => {
    const places = { 'another node': 'far', 'the same node': 'near' } as const;
    for (const [place, to] of Object.entries(places)) {
      it(`resets a client of ${place} at once`, async () => {
        const result = await call(mesh.netns('client'), mesh.at(to, 7));
        assert.ok(wasReset(result), JSON.stringify(result));
        assert.ok(result.durationMicros < 1_000_000, `after ${result.durationMicros} µs`);
      });
    }

    it('resets plaintext at once', async () => {
      const result = await call(mesh.netns('outside'), mesh.at('far', 7));
      assert.ok(wasReset(result), JSON.stringify(result));
      assert.ok(result.durationMicros < 1_000_000, `after ${result.durationMicros} µs`);
    });

    it('lets no packet out beside the tunnel', async () => {
      const atClient = await capture(mesh.netns('client'), podInterface);
      const [, atServer] = await mesh.heard('far', [], async () => {
        for (const family of ['ipv4', 'ipv6'] as const) {
          await call(mesh.netns('client'), mesh.at('far', 7, family));
          await call(mesh.netns('client'), mesh.at('far', 8080, family));
        }
      });
      for (const { dropped, flows, otherFlows } of [atServer, await atClient.finish()]) {
        assert.equal(dropped + otherFlows, 0);
        assert.deepEqual(
          Object.keys(flows).filter((flow) => !flow.includes(':15008')),
          [],
        );
        assert.ok(Object.keys(flows).length > 0, 'the tunnel itself is heard');
      }
    });

    it('tells the operator', async () => {
      const { local } = await call(mesh.netns('client'), mesh.at('far', 7));
      const source = await mesh.line(0, { 'src.addr': local ?? '' });
      assert.match(String(source['error']), /503/);
      const destination = await mesh.line(1, { 'dst.hbone_addr': mesh.at('far', 7), direction: 'inbound' });
      assert.match(String(destination['error']), /refused/i);
    });
  });
});

/** Ports that something listens on in a pod, other than the application's. */
async function enginePorts(mesh: Mesh, pod: string, application: readonly number[]): Promise<number[]> {
  const { stdout } = await mesh.rig.exec(mesh.pod(pod), ['ss', '-Hltn']);
  const ports = stdout
    .split('\n')
    .flatMap((line) => /:(\d+)\s/.exec(line.trim().split(/\s+/).slice(3).join(' ') + ' ')?.[1] ?? [])
    .map(Number);
  return [...new Set(ports)].filter((port) => !application.includes(port));
}

function hostOf(address: string): string {
  return address.replace(/\d+$/, '');
}
