import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { listenerPorts } from '../../support/kernel-state.ts';
import { authorizationPolicy, peerAuthentication } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { testkitBinary } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, calls, endpoint, serve, whoIn } from '../../support/testkit.ts';

const member = { namespace: 'shop' } as const;
const refused = 'ambit_flows_refused_total';
/** The one bit that rules of ours look for; an adversary can read it off `ip rule`. */
const ourMark = 0x8000000;

/** What root in a pod can do with sockets, rules and routes of its own. */
rootSuite('attacks on listeners, marks and routes', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, far: 1, server: 0, outsider: 0 },
      members: { client: member, far: member, server: member },
      servers: { server: ['whoami@[::]:8080'], far: ['whoami@[::]:8080'] },
      documents: [
        peerAuthentication('shop', 'STRICT'),
        authorizationPolicy('shop', 'client-only', {
          action: 'ALLOW',
          rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/client'] } }] }],
        }),
      ],
    });
  });
  after(() => mesh.remove());

  async function portsOf(name: string): Promise<number[]> {
    const ports = await listenerPorts(mesh.netns(name));
    assert.ok(ports.length >= 3, ports.join());
    return ports;
  }

  it('a thief that joins our listeners with SO_REUSEPORT gets no connection', async () => {
    const stolen = [15001, 15006, 15008, ...(await portsOf('server'))];
    for (const port of stolen) {
      // Some ports it cannot even bind; then there is nothing to steal.
      const command = ['serve', `whoami@[::]:${port}`, '--reuse-port', '--name', 'thief'];
      mesh.rig.start(mesh.pod('server'), [testkitBinary, ...command]);
    }
    const sources = [mesh.netns('client'), mesh.netns('client')];
    const answers = await Promise.all(
      sources.map((netns) => calls(netns, Array<string>(100).fill(mesh.at('server', 8080)))),
    );
    assert.deepEqual(new Set(answers.flat().map((answer) => whoIn(answer).server)), new Set(['server']));
  });

  it('a listener of the pod on 15008 gets nothing of what comes from outside', async () => {
    const thief = await serve(mesh.netns('far'), 'thief', ['whoami@[::]:15008', 'whoami@[::]:15001']);
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('far', 8080))).server, 'far');
    await mesh.growth(
      1,
      refused,
      { reason: 'tls_failed' },
      async () => {
        assert.equal((await call(mesh.netns('outsider'), mesh.at('far', 15008))).ok, false);
      },
      1,
    );
    await thief.finish();
  });

  it("the pod's own connections to our listeners are refused and counted", async () => {
    const ports = await portsOf('server');
    const reasons = { reason: /direct_connection|self_call|tls_failed/ };
    for (const address of ['127.0.0.1', '::1', mesh.pod('server').ipv4, mesh.pod('server').ipv6]) {
      await mesh.growth(
        0,
        refused,
        reasons,
        async () => {
          const results = await calls(
            mesh.netns('server'),
            ports.map((port) => endpoint(address, port)),
          );
          assert.deepEqual(
            results.filter((result) => result.ok),
            [],
          );
        },
        ports.length,
      );
    }
  });

  for (const source of ['outsider', 'client', 'far'] as const) {
    it(`connections of the pod ${source} to our listeners' real ports are refused and counted`, async () => {
      const ports = await portsOf('server');
      const run = async (): Promise<void> => {
        const results = await calls(
          mesh.netns(source),
          ports.map((port) => mesh.at('server', port)),
        );
        assert.deepEqual(
          results.filter((result) => result.ok),
          [],
        );
      };
      const reason = source === 'far' ? /policy_denied|self_call/ : 'self_call';
      await mesh.growth(0, refused, { reason }, run, ports.length);
    });
  }

  it('a forged mark gives a stranger nothing', async () => {
    await mesh.growth(
      0,
      refused,
      { reason: 'policy_denied' },
      async () => {
        const options = ['--mark', String(ourMark)];
        const result = await call(mesh.netns('outsider'), mesh.at('server', 8080), options);
        assert.equal(result.ok, false);
      },
      1,
    );
  });

  it('a forged mark does not take a pod past its own identity', async () => {
    const options = ['--mark', String(ourMark)];
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('server', 8080), options)).server, 'server');
    await mesh.growth(
      0,
      refused,
      { reason: 'policy_denied' },
      async () => {
        assert.equal((await call(mesh.netns('far'), mesh.at('server', 8080), options)).ok, false);
      },
      1,
    );
  });

  it("a marked socket bound to a neighbour's address carries the identity of its own namespace", async () => {
    const options = ['--mark', String(ourMark), '--transparent', '--source-ip', mesh.pod('client').ipv4];
    const result = await call(mesh.netns('far'), mesh.at('server', 8080), options);
    assert.equal(result.ok, false);
  });

  const deletions = [
    ['the IPv4 rule', 'ip rule del fwmark 0x8000000/0x8000000 lookup 15001'],
    ['the IPv6 rule', 'ip -6 rule del fwmark 0x8000000/0x8000000 lookup 15001'],
    ['the IPv4 route', 'ip route flush table 15001'],
    ['the IPv6 route', 'ip -6 route flush table 15001'],
  ] as const;
  for (const [what, command] of deletions) {
    it(`${what} that a pod deletes is back within a second, and counted`, async () => {
      const started = Date.now();
      const restored = { restored: 'true' };
      await mesh.growth(
        0,
        'ambit_tampering_total',
        restored,
        () => exec(['nsenter', `--net=/run/netns/${mesh.netns('client')}`, '--', ...command.split(' ')]),
        1,
      );
      assert.ok(Date.now() - started < 1500, `${Date.now() - started} ms`);
      const family = what.includes('IPv6') ? 'ipv6' : 'ipv4';
      assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('server', 8080, family))).server, 'server');
    });
  }

  it('a pod whose rule is gone falls out of nothing: it is refused at the destination meanwhile', async () => {
    const command = 'ip rule del fwmark 0x8000000/0x8000000 lookup 15001'.split(' ');
    await mesh.rig.exec(mesh.pod('client'), command);
    // Either the rule is back already and the call is carried with its identity, or it came as plaintext and is refused.
    const result = await call(mesh.netns('client'), mesh.at('server', 8080));
    if (result.ok) {
      const line = await mesh.line(0, { direction: 'inbound', 'dst.workload': 'server', 'src.workload': 'client' });
      assert.equal(line['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
    } else {
      assert.match(result.error ?? '', /ECONNRESET|ECONNREFUSED/);
    }
  });
});
