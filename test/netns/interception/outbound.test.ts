import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { findLines } from '../../support/access-log.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, calls, endpoint, wasReset, whoIn } from '../../support/testkit.ts';
import type { CallResult } from '../../support/testkit.ts';
import { podInterface } from '../../support/topology.ts';

const servers = ['whoami@[::]:8080', 'echo@[::]:8081', 'udp-echo@[::]:8053'];
const opened = 'istio_tcp_connections_opened_total';
/** What the source reports of a call from the client to the far pod. */
const farFlow = {
  ...{ reporter: 'source', source_workload: 'client', destination_workload: 'far' },
  connection_security_policy: 'mutual_tls',
};

rootSuite('outbound interception', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, control: 0, outside: 0, far: 1, 'far-outside': 1 },
      members: { client: { namespace: 'shop' }, far: { namespace: 'shop' } },
      servers: { far: servers, client: servers, outside: servers, 'far-outside': servers },
    });
  });
  after(() => mesh.remove());

  /** A call from the client that must be carried by a tunnel, with its line in the access log. */
  async function captured(address: string, options: readonly string[] = []): Promise<CallResult> {
    const run = (): Promise<CallResult> => call(mesh.netns('client'), address, options);
    const [result, grown] = await mesh.growth(0, opened, farFlow, run);
    assert.equal(whoIn(result).server, 'far');
    assert.equal(grown, 1, 'the call is one flow by mutual TLS');
    return result;
  }

  /** The ways of an application to open a connection: each is captured, and none notices. */
  const ways: Readonly<Record<string, readonly string[]>> = {
    'a blocking connect': [],
    'a non-blocking connect': ['--variant', 'non-blocking'],
    'TCP Fast Open by sendto': ['--variant', 'fast-open'],
    'TCP Fast Open by connect': ['--variant', 'fast-open-connect'],
    MPTCP: ['--variant', 'mptcp'],
    io_uring: ['--variant', 'io-uring'],
    'a socket bound to its device': ['--device', podInterface],
    'a mark of its own': ['--mark', '2'],
  };

  for (const [way, options] of Object.entries(ways)) {
    for (const family of ['ipv4', 'ipv6'] as const) {
      it(`captures ${way} over ${family}`, async () => {
        const { peer, local } = await captured(mesh.at('far', 8080, family), options);
        const control = await call(mesh.netns('control'), mesh.at('far', 8080, family), options);
        assert.equal(control.ok, true, 'the same works without a mesh');
        assert.equal(peer, control.peer, 'getpeername is as without a mesh');
        assert.equal(hostOf(local), endpoint(mesh.pod('client')[family], ''), 'getsockname is the pod itself');
      });
    }
  }

  it('captures IPv4 on an IPv6 socket, whose names stay v4-mapped', async () => {
    const result = await captured(mesh.at('far', 8080), ['--mapped']);
    const control = await call(mesh.netns('control'), mesh.at('far', 8080), ['--mapped']);
    assert.equal(result.peer, `[::ffff:${mesh.pod('far').ipv4}]:8080`);
    assert.equal(result.peer, control.peer);
    assert.equal(hostOf(result.local), `[::ffff:${mesh.pod('client').ipv4}]:`);
    assert.equal(hostOf(control.local), `[::ffff:${mesh.pod('control').ipv4}]:`);
  });

  it('writes one line with the addresses that the application sees', async () => {
    const { local } = await captured(mesh.at('far', 8080), ['--send', 'x'.repeat(99)]);
    const line = await mesh.line(0, { 'src.addr': local ?? '' });
    assert.equal(line['dst.hbone_addr'], mesh.at('far', 8080));
    assert.equal(line['dst.addr'], mesh.at('far', 15008));
    assert.equal(line['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
    assert.equal(line['dst.identity'], 'spiffe://cluster.local/ns/shop/sa/far');
    assert.equal(line['bytes_sent'], 100);
    assert.ok(Number(line['bytes_recv']) > 20, JSON.stringify(line));
    const lines = findLines(await mesh.agent(0).accessLog(), { 'src.addr': local ?? '' });
    assert.equal(lines.length, 1);
  });

  it('lets two sockets of one source port reach two destinations at once', async () => {
    const addresses = [mesh.at('far', 8080), mesh.at('far-outside', 8080)];
    const results = await calls(mesh.netns('client'), addresses, ['--source-port', '41000', '--together']);
    assert.deepEqual(
      results.map((result) => [whoIn(result).server, result.local]),
      ['far', 'far-outside'].map((name) => [name, mesh.at('client', 41000)]),
    );
  });

  it('follows a socket that is used again after AF_UNSPEC', async () => {
    const addresses = [
      mesh.at('far', 8080),
      mesh.at('far-outside', 8080),
      mesh.at('client', 8080),
      '127.0.0.1:8080',
      mesh.at('far', 8080),
    ];
    const results = await calls(mesh.netns('client'), addresses, ['--reuse']);
    assert.deepEqual(
      results.map((result) => whoIn(result).server),
      ['far', 'far-outside', 'client', 'client', 'far'],
    );
    assert.deepEqual(
      results.map(({ peer }) => peer),
      addresses,
    );
  });

  for (const family of ['ipv4', 'ipv6'] as const) {
    it(`leaves connected UDP over ${family} untouched`, async () => {
      const address = mesh.at('far', 8053, family);
      const options = ['--variant', 'udp', '--send', 'datagram-in-the-clear'];
      const [{ ok, peer, local, text }, heard] = await mesh.heard('client', ['datagram-in-the-clear'], () =>
        call(mesh.netns('client'), address, options),
      );
      const control = await call(mesh.netns('control'), address, ['--variant', 'udp']);
      assert.deepEqual([ok, text, peer], [true, 'datagram-in-the-clear', control.peer]);
      assert.equal(hostOf(local), endpoint(mesh.pod('client')[family], ''));
      assert.equal(heard.needles['datagram-in-the-clear'], 2, 'to and fro, as they are');
      const lines = await mesh.agent(0).accessLog();
      assert.deepEqual(
        [...findLines(lines, { 'dst.hbone_addr': address }), ...findLines(lines, { 'dst.addr': address })],
        [],
      );
    });
  }

  describe('of addresses outside the mesh', () => {
    for (const name of ['outside', 'far-outside']) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        it(`passes ${family} to ${name} through as plaintext`, async () => {
          const address = mesh.at(name, 8080, family);
          const [result, heard] = await mesh.heard(name, ['plain-for-a-stranger'], () =>
            call(mesh.netns('client'), address, ['--send', 'plain-for-a-stranger']),
          );
          const answer = whoIn(result);
          assert.equal(answer.server, name);
          assert.equal(hostOf(answer.peer), endpoint(mesh.pod('client')[family], ''));
          assert.ok((heard.needles['plain-for-a-stranger'] ?? 0) >= 1, 'it arrives as it was sent');
          assert.equal(result.peer, address);
          const line = await mesh.line(0, { 'src.addr': result.local ?? '' });
          assert.equal(line['dst.addr'], address);
          assert.equal(line['dst.workload'], undefined);
        });
      }
    }

    it('counts them with an unknown destination', async () => {
      const labels = { reporter: 'source', destination_workload: 'unknown', connection_security_policy: 'unknown' };
      const reach = (): Promise<unknown> => call(mesh.netns('client'), mesh.at('outside', 8080));
      assert.equal((await mesh.growth(0, opened, labels, reach))[1], 1);
    });

    it('resets what nobody there listens for', async () => {
      const result = await call(mesh.netns('client'), mesh.at('outside', 7));
      assert.ok(wasReset(result), JSON.stringify(result));
      assert.ok(result.durationMicros < 1_000_000, `after ${result.durationMicros} µs`);
    });
  });
});

/** `10.0.0.1:` of `10.0.0.1:40000`, `[fd00::1]:` of `[fd00::1]:40000`. */
function hostOf(address: string | null): string {
  return (address ?? '').replace(/\d+$/, '');
}
