import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { authorizationPolicy, peerAuthentication } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { assertMetric } from '../../support/metrics.ts';
import { enter } from '../../support/namespaces.ts';
import { testkitBinary } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, capture, endpoint, serve, whoIn } from '../../support/testkit.ts';
import { podInterface } from '../../support/topology.ts';

const member = { namespace: 'shop' } as const;
const probed = 8090;
const refused = 'ambit_flows_refused_total';

/** What a pod with NET_RAW on the same bridge can do, and what a process of the node can. */
rootSuite('attacks on the network', () => {
  let mesh: Mesh;
  before(async () => {
    const servers = [`whoami@[::]:8080`, `whoami@[::]:${probed}`, 'echo@[::]:8081'];
    mesh = await Mesh.create({
      pods: { client: 0, server: 0, rogue: 0, victim: 0, far: 1 },
      members: {
        client: member,
        server: { ...member, probePorts: [probed] },
        victim: member,
        far: member,
      },
      servers: { server: servers, victim: servers },
      documents: [
        peerAuthentication('shop', 'STRICT'),
        authorizationPolicy('shop', 'named-only', {
          action: 'ALLOW',
          rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/client', '*/sa/far'] } }] }],
        }),
      ],
    });
  });
  after(() => mesh.remove());

  async function counted(run: () => Promise<unknown>): Promise<void> {
    await mesh.growth(0, refused, { reason: 'policy_denied' }, run, 1);
  }

  function rogue(...words: readonly string[]): Promise<unknown> {
    return mesh.rig.exec(mesh.pod('rogue'), words);
  }

  for (const family of ['ipv4', 'ipv6'] as const) {
    const claim = (address: string, duration: string): Promise<unknown> =>
      rogue(testkitBinary, 'claim', '--interface', podInterface, '--address', address, '--duration', duration);
    const length = family === 'ipv4' ? 32 : 128;

    it(`a pod that takes a neighbour's ${family} address gets nothing from a server that asks for an identity`, async () => {
      const address = mesh.pod('client')[family];
      await rogue('ip', 'addr', 'add', `${address}/${length}`, 'dev', podInterface, ...nodad(family));
      try {
        const claiming = claim(address, '1500');
        await counted(async () => {
          const options = ['--source-ip', address, '--timeout', '1000'];
          const result = await call(mesh.netns('rogue'), mesh.at('server', 8080, family), options);
          assert.equal(result.ok, false, JSON.stringify(result));
        });
        await claiming;
      } finally {
        await rogue('ip', 'addr', 'del', `${address}/${length}`, 'dev', podInterface);
        await settle(mesh);
      }
    });

    it(`a pod that claims a server's ${family} address on the bridge hears no word of what a far pod tells it`, async () => {
      const address = mesh.pod('victim')[family];
      await rogue('ip', 'addr', 'add', `${address}/${length}`, 'dev', podInterface, ...nodad(family));
      const thief = await serve(mesh.netns('rogue'), 'thief', ['whoami@[::]:15008', 'whoami@[::]:8080']);
      try {
        const claiming = claim(address, '2500');
        const heard = await capture(mesh.netns('rogue'), podInterface, ['needle-for-the-victim']);
        const options = ['--send', 'needle-for-the-victim', '--timeout', '2000'];
        const result = await call(mesh.netns('far'), mesh.at('victim', 8080, family), options);
        if (result.ok) assert.equal(whoIn(result).server, 'victim');
        const seen = await heard.finish();
        assert.equal(seen.needles['needle-for-the-victim'], 0);
        await claiming;
      } finally {
        await thief.finish();
        await rogue('ip', 'addr', 'del', `${address}/${length}`, 'dev', podInterface);
        await settle(mesh);
      }
    });

    it(`a node-local call over ${family} passes no wire on which its addresses could be claimed`, async () => {
      const address = mesh.pod('server')[family];
      const claiming = claim(address, '1500');
      const heard = await capture(mesh.netns('rogue'), podInterface, ['needle-next-door']);
      const options = ['--send', 'needle-next-door'];
      const result = await call(mesh.netns('client'), mesh.at('server', 8080, family), options);
      assert.equal(whoIn(result).server, 'server');
      assert.equal((await heard.finish()).needles['needle-next-door'], 0);
      await claiming;
      await settle(mesh);
    });
  }

  it("SYNs with a neighbour's source leave nothing behind but counters", async () => {
    const words = ['spoof', '--source', mesh.pod('client').ipv4, '--destination', mesh.pod('server').ipv4];
    await rogue(testkitBinary, ...words, '--port', '8080', '--count', '200');
    await rogue(testkitBinary, ...words, '--port', '15008', '--count', '200');
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('server', 8080))).server, 'server');
  });

  it('the prober reaches the port that a probe names', async () => {
    const node = mesh.rig.node(0).netns;
    const answer = whoIn(await call(node, mesh.at('server', probed)));
    assert.equal(answer.server, 'server');
    assert.ok(answer.peer.startsWith(mesh.rig.node(0).ipv4), answer.peer);
    assert.equal(whoIn(await call(node, mesh.at('server', probed, 'ipv6'))).server, 'server');
    const samples = await mesh.agent(0).metrics();
    assertMetric(samples, 'ambit_intercept_events_total', { event: 'probe_published' }, 2);
    assertMetric(samples, 'ambit_intercept_events_total', { event: 'probe_passed' }, 2);
  });

  it('a process of the node reaches no port that no probe names', async () => {
    for (const [name, port] of [
      ['server', 8080],
      ['victim', probed],
    ] as const) {
      await counted(async () => {
        assert.equal((await call(mesh.rig.node(0).netns, mesh.at(name, port))).ok, false);
      });
    }
  });

  it('a pod that speaks from the address of the node is no prober', async () => {
    await counted(async () => {
      const result = await call(mesh.netns('rogue'), mesh.at('server', probed));
      assert.equal(result.ok, false);
    });
    const gateway = mesh.rig.node(0).ipv4;
    await rogue('ip', 'addr', 'add', `${gateway}/32`, 'dev', podInterface);
    try {
      const options = ['--source-ip', gateway, '--timeout', '1000'];
      const result = await call(mesh.netns('rogue'), mesh.at('server', probed), options);
      assert.equal(result.ok, false);
    } finally {
      await rogue('ip', 'addr', 'del', `${gateway}/32`, 'dev', podInterface);
      await settle(mesh);
    }
  });

  it("the four-tuple of a probe is nobody else's once it is over", async () => {
    const node = mesh.rig.node(0);
    await call(node.netns, mesh.at('server', probed), ['--source-port', '45000']);
    await rogue('ip', 'addr', 'add', `${node.ipv4}/32`, 'dev', podInterface);
    try {
      const options = ['--source-ip', node.ipv4, '--source-port', '45000', '--timeout', '1000'];
      assert.equal((await call(mesh.netns('rogue'), mesh.at('server', probed), options)).ok, false);
    } finally {
      await rogue('ip', 'addr', 'del', `${node.ipv4}/32`, 'dev', podInterface);
      await settle(mesh);
    }
  });

  it('the node itself is served as before', async () => {
    assert.equal(whoIn(await call(mesh.netns('client'), endpoint(mesh.pod('server').ipv4, 8080))).server, 'server');
  });
});

function nodad(family: 'ipv4' | 'ipv6'): readonly string[] {
  return family === 'ipv6' ? ['nodad'] : [];
}

/** Forgets what was learned from forged claims, so that each test meets a network in order. */
async function settle(mesh: Mesh): Promise<void> {
  const places = [...mesh.rig.pods, ...mesh.rig.nodes];
  await Promise.all(places.map(({ netns }) => exec(enter(netns, ['ip', 'neigh', 'flush', 'all']))));
}
