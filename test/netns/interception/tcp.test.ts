import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { Mesh } from '../../support/mesh.ts';
import { enter } from '../../support/namespaces.ts';
import { dropping } from '../../support/packet-filter.ts';
import { exec } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, storm, whoIn } from '../../support/testkit.ts';

/** What TCP does on bad days: the interception must not depend on a SYN being seen once, or on a four-tuple being new. */
rootSuite('interception and TCP', () => {
  let mesh: Mesh;
  before(async () => {
    const servers = ['whoami@[::]:8080', 'echo@[::]:8081', 'close@[::]:8082', 'echo@[::]:9000-9999'];
    mesh = await Mesh.create({
      pods: { client: 0, near: 0, outside: 0, far: 1 },
      members: { client: { namespace: 'shop' }, near: { namespace: 'shop' }, far: { namespace: 'shop' } },
      servers: { near: servers, far: servers },
    });
  });
  after(() => mesh.remove());

  const pods = ['client', 'near', 'far', 'outside'];

  describe('with SYN cookies for everything', () => {
    const cookies = async (value: number): Promise<void> => {
      const script = `echo ${value} > /proc/sys/net/ipv4/tcp_syncookies`;
      await Promise.all(pods.map((name) => exec(enter(mesh.netns(name), ['sh', '-ec', script]))));
    };
    before(() => cookies(2));
    after(() => cookies(1));

    const ways = [
      ['client', 'far'],
      ['client', 'near'],
      ['outside', 'far'],
    ] as const;
    for (const [from, to] of ways) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        it(`carries ${family} from ${from} to ${to}`, async () => {
          const answer = whoIn(await call(mesh.netns(from), mesh.at(to, 8080, family)));
          assert.deepEqual([answer.server, answer.local], [to, mesh.at(to, 8080, family)]);
        });
      }
    }

    it('carries many short connections', async () => {
      const args = [mesh.at('far', '9000-9099'), '--count', '1000', '--clients', '4'];
      const { connections, failures } = await storm(mesh.netns('client'), args);
      assert.deepEqual({ connections, failures }, { connections: 1000, failures: {} });
    });
  });

  describe('with lost SYNs', () => {
    const places = {
      'between the application and the engine': ['client', 'output', 8080, 'client', 'far'],
      'of the tunnel': ['near', 'input', 15008, 'far', 'near'],
      'between the engine and the application': ['far', 'input', 8080, 'client', 'far'],
      'of plaintext': ['far', 'input', 8080, 'outside', 'far'],
    } as const;

    for (const [place, [pod, hook, port, from, to]] of Object.entries(places)) {
      it(`${place} the connection comes about by the next one`, async () => {
        // A SYN over IPv4 has 60 bytes: the first is lost, its repetition passes.
        const rule = `tcp dport ${port} tcp flags & (syn | ack) == syn quota until 119 bytes`;
        const [result, lost] = await dropping(mesh.netns(pod), hook, rule, () =>
          call(mesh.netns(from), mesh.at(to, 8080), ['--timeout', '9000']),
        );
        const answer = whoIn(result);
        assert.deepEqual([answer.server, answer.local, result.peer], [to, mesh.at(to, 8080), mesh.at(to, 8080)]);
        assert.ok(lost > 0, 'SYNs were lost indeed');
      });
    }
  });

  describe('with a four-tuple that is in TIME_WAIT', () => {
    const repeated = ['--count', '20', '--close', 'server', '--source-port', '42000'];

    for (const to of ['far', 'near'] as const) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        it(`takes the same source port again towards ${to} over ${family} when the server closed first`, async () => {
          const args = [mesh.at(to, 8082, family), ...repeated];
          const control = await storm(mesh.netns('outside'), args);
          // Over a wire the last ACK of the former connection may be on its way still, and the port is not free then.
          const { EADDRNOTAVAIL: early = 0, ...others } = control.failures;
          assert.deepEqual(others, {}, 'the same works from outside the mesh');
          assert.ok(early < 10, `from outside the mesh ${early} of 20 found their port in use`);
          const { connections, failures } = await storm(mesh.netns('client'), args);
          assert.deepEqual({ connections, failures }, { connections: 20, failures: {} });
        });
      }
    }

    it('takes ports in TIME_WAIT again as tcp_tw_reuse allows', async () => {
      const script = [
        'echo 43000 43099 > /proc/sys/net/ipv4/ip_local_port_range',
        'echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse',
        // Kernels before 6.14 wait a second; there the storm would just have to be slower.
        'test ! -e /proc/sys/net/ipv4/tcp_tw_reuse_delay || echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse_delay',
      ];
      await exec(enter(mesh.netns('client'), ['sh', '-ec', script.join('\n')]));
      const args = [mesh.at('far', 8081), '--count', '1000', '--close', 'fin'];
      const { connections, failures } = await storm(mesh.netns('client'), args);
      await exec(
        enter(mesh.netns('client'), ['sh', '-ec', 'echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range']),
      );
      assert.deepEqual({ connections, failures }, { connections: 1000, failures: {} });
    });
  });

  it('carries 40,000 short connections closed by FIN to 1,000 destinations, none of which fails', async () => {
    const args = [mesh.at('far', '9000-9999'), '--count', '40000', '--clients', '8', '--close', 'fin'];
    const labels = { reporter: 'source', source_workload: 'client', destination_workload: 'far' };
    const [{ connections, failures }, grown] = await mesh.growth(0, 'istio_tcp_connections_opened_total', labels, () =>
      storm(mesh.netns('client'), [...args, '--duration', '90000'], 120_000),
    );
    assert.deepEqual({ connections, failures, grown }, { connections: 40_000, failures: {}, grown: 40_000 });
  });
});
