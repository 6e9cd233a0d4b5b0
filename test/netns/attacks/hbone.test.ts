import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, it } from 'node:test';

import { initialiseAuthority } from '../../../src/ca/authority.ts';
import { HboneClient, materialOf } from '../../support/hbone/peer.ts';
import type { Material } from '../../support/hbone/messages.ts';
import { listenerPorts } from '../../support/kernel-state.ts';
import { authorizationPolicy, peerAuthentication } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, endpoint, hold, whoIn } from '../../support/testkit.ts';

const member = { namespace: 'shop' } as const;
const refused = 'ambit_flows_refused_total';

/** What a peer can send to port 15008, with and without a certificate. */
rootSuite('attacks on HBONE', () => {
  let mesh: Mesh;
  let attacker: HboneClient;
  let client: Material;
  let stranger: Material;
  before(async () => {
    mesh = await Mesh.create({
      nodes: 1,
      pods: { client: 0, server: 0, other: 0, rogue: 0 },
      members: { client: member, server: member, other: member },
      servers: { server: ['echo@[::]:8081', 'whoami@[::]:8080'], other: ['whoami@[::]:8080'] },
      documents: [
        peerAuthentication('shop', 'STRICT'),
        authorizationPolicy('shop', 'client-only', {
          action: 'ALLOW',
          rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/client'] } }] }],
        }),
      ],
      agentOptions: { flags: ['--connect-timeout', '2s'] },
    });
    attacker = new HboneClient(mesh.netns('rogue'));
    client = await materialOf(mesh.rig.caFolder, 'spiffe://cluster.local/ns/shop/sa/client');
    stranger = await materialOf(mesh.rig.caFolder, 'spiffe://cluster.local/ns/shop/sa/stranger');
  });
  after(() => mesh.remove());

  /** Runs an attack and sees that it was counted under that reason. */
  async function counted(reason: string, run: () => Promise<unknown>, least = 1): Promise<void> {
    await mesh.growth(0, refused, { reason }, run, least);
  }

  async function statusOf(material: Material, authority: string): Promise<number> {
    const tunnel = await attacker.open(mesh.pod('server').ipv4, material);
    return (await attacker.connect(tunnel, authority)).status;
  }

  async function isServed(): Promise<void> {
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('server', 8080))).server, 'server');
  }

  it('lets in the one whom the policy names: what follows fails for its own reasons', async () => {
    const tunnel = await attacker.open(mesh.pod('server').ipv4, client);
    const stream = await attacker.connect(tunnel, mesh.at('server', 8081));
    assert.equal(stream.status, 200);
    assert.equal((await attacker.exchange(stream, 'hello')).text, 'hello');
  });

  it('refuses a valid certificate that the policy does not name', async () => {
    await counted('policy_denied', async () => {
      assert.equal(await statusOf(stranger, mesh.at('server', 8081)), 401);
    });
    await mesh.line(0, { 'src.identity': 'spiffe://cluster.local/ns/shop/sa/stranger', error: /denied/ });
  });

  it('refuses a certificate of another trust domain, signed by our own CA', async () => {
    const foreign = await materialOf(mesh.rig.caFolder, 'spiffe://elsewhere.example/ns/shop/sa/client');
    await counted('tls_failed', async () => {
      await assert.rejects(attacker.open(mesh.pod('server').ipv4, foreign));
    });
  });

  it('refuses a certificate with the right name of another CA', async () => {
    const folder = join(mesh.rig.folder, 'foreign-ca');
    await initialiseAuthority(folder);
    const forged = await materialOf(folder, 'spiffe://cluster.local/ns/shop/sa/client');
    await counted('tls_failed', async () => {
      await assert.rejects(attacker.open(mesh.pod('server').ipv4, { ...forged, roots: client.roots }));
    });
  });

  it('refuses a client without a certificate', async () => {
    await counted('tls_failed', async () => {
      await assert.rejects(attacker.open(mesh.pod('server').ipv4, null));
    });
  });

  it('refuses TLS 1.2', async () => {
    await counted('tls_failed', async () => {
      await assert.rejects(attacker.open(mesh.pod('server').ipv4, client, { maxVersion: 'TLSv1.2' }));
    });
  });

  it("refuses CONNECT to another pod's address", async () => {
    await counted('foreign_authority', async () => {
      assert.equal(await statusOf(client, mesh.at('other', 8080)), 400);
    });
  });

  for (const address of ['127.0.0.1', '0.0.0.0', '[::1]', '[::ffff:127.0.0.1]', '169.254.169.254']) {
    it(`refuses CONNECT to ${address}`, async () => {
      await counted('foreign_authority', async () => {
        assert.equal(await statusOf(client, `${address}:8081`), 400);
      });
    });
  }

  it("refuses CONNECT to the engine's own ports", async () => {
    const ports = [15008, ...(await listenerPorts(mesh.netns('server')))];
    await counted(
      'self_call',
      async () => {
        for (const port of ports) assert.equal(await statusOf(client, mesh.at('server', port)), 503);
      },
      ports.length,
    );
  });

  it('does not believe a forwarded header about the source', async () => {
    await counted('policy_denied', async () => {
      const tunnel = await attacker.open(mesh.pod('server').ipv4, stranger);
      const headers = { forwarded: `for="${mesh.at('client', 1)}"`, 'x-forwarded-client-cert': 'By=client' };
      assert.equal((await attacker.connect(tunnel, mesh.at('server', 8081), headers)).status, 401);
    });
  });

  for (const [method, path] of [
    ['GET', '/'],
    ['POST', '/'],
  ] as const) {
    it(`refuses ${method}`, async () => {
      await counted('not_connect', async () => {
        const tunnel = await attacker.open(mesh.pod('server').ipv4, client);
        const authority = mesh.at('server', 8081);
        const headers = { ':method': method, ':path': path, ':scheme': 'https', ':authority': authority };
        assert.equal((await attacker.request(tunnel, headers, true)).status, 400);
      });
    });
  }

  for (const authority of ['nonsense', 'example.com:80', ':80', '10.0.0.1:99999', '10.0.0.1']) {
    it(`refuses the authority ${authority}`, async () => {
      const reason = /bad_authority|hostname_authority|http2/;
      await mesh.growth(
        0,
        refused,
        { reason },
        async () => {
          // Answered with a refusal, or the stream is reset: never 200.
          const status = await statusOf(client, authority).catch(() => 0);
          assert.notEqual(status, 200);
        },
        authority === 'example.com:80' ? 1 : 0,
      );
    });
  }

  it('closes a connection that says nothing, and counts it', async () => {
    await counted('handshake_timeout', () => silent(10).then((running) => running.finish()), 0);
    await isServed();
  });

  it('bounds half-open handshakes: others are served meanwhile, and the pod itself afterwards', async () => {
    await counted('too_many_handshakes', async () => {
      const running = await silent(700);
      // The pod under attack as well: room is made at the cost of who holds the most.
      const attacked = await attacker.open(mesh.pod('server').ipv4, client);
      assert.equal((await attacker.connect(attacked, mesh.at('server', 8081))).status, 200);
      const others = whoIn(await call(mesh.netns('client'), mesh.at('other', 8080)));
      assert.equal(others.server, 'other');
      const tunnel = await attacker.open(mesh.pod('other').ipv4, client);
      assert.equal((await attacker.connect(tunnel, mesh.at('other', 8080))).status, 200);
      await running.finish();
    });
    const tunnel = await attacker.open(mesh.pod('server').ipv4, client);
    assert.equal((await attacker.connect(tunnel, mesh.at('server', 8081))).status, 200);
  });

  it('lets go of half-open handshakes by itself', async () => {
    const running = await silent(100);
    await counted('handshake_timeout', () => Promise.resolve(), 100);
    await running.finish();
  });

  /** Connections that never say a word, from the rogue pod. */
  function silent(count: number): ReturnType<typeof hold> {
    return hold(mesh.netns('rogue'), [endpoint(mesh.pod('server').ipv4, 15008), '--count', String(count)]);
  }
});
