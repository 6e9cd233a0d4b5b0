import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { findLines } from '../../support/access-log.ts';
import { meshSettings, networkPolicy, service } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, capture, hold, whoIn } from '../../support/testkit.ts';
import type { CallResult, CaptureResult } from '../../support/testkit.ts';
import { podInterface } from '../../support/topology.ts';

const opened = 'istio_tcp_connections_opened_total';
const secret = 'never-on-any-wire';

rootSuite('two pods of one node', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      ...{ nodes: 1, pods: { client: 0, server: 0, other: 0 } },
      members: { client: { namespace: 'shop' }, server: { namespace: 'shop' }, other: { namespace: 'elsewhere' } },
      documents: [
        service({
          ...{ name: 'server', namespace: 'shop', vips: ['10.96.0.7'] },
          ...{ ports: { 80: 8080 }, selector: { app: 'server' } },
        }),
      ],
      servers: { server: ['whoami@[::]:8080', 'echo@[::]:8081', 'sink@[::]:8082', 'reset@[::]:8083'] },
    });
  });
  after(() => mesh.remove());

  interface Outcome {
    readonly result: CallResult;
    readonly heard: readonly CaptureResult[];
    /** Flows by `connection_security_policy`, on both sides. */
    readonly flows: Readonly<Record<string, number>>;
  }

  /** A call with a secret, heard at both pods. */
  async function observed(family: 'ipv4' | 'ipv6' = 'ipv4'): Promise<Outcome> {
    const listening = await Promise.all([
      capture(mesh.netns('client'), podInterface, [secret]),
      capture(mesh.netns('server'), podInterface, [secret]),
    ]);
    const policies = ['node_local', 'mutual_tls', 'unknown'];
    const count = (policy: string) => ({ connection_security_policy: policy, destination_workload: 'server' });
    let run = (): Promise<CallResult> =>
      call(mesh.netns('client'), mesh.at('server', 8081, family), ['--send', secret]);
    const flows: Record<string, number> = {};
    for (const policy of policies) {
      const inner = run;
      run = async () => {
        const [result, grown] = await mesh.growth(0, opened, count(policy), inner);
        flows[policy] = grown;
        return result;
      };
    }
    const result = await run();
    return { result, flows, heard: await Promise.all(listening.map((each) => each.finish())) };
  }

  async function assertJoined(family: 'ipv4' | 'ipv6' = 'ipv4'): Promise<void> {
    const { result, flows, heard } = await observed(family);
    assert.deepEqual([result.ok, result.text], [true, secret]);
    assert.deepEqual(flows, { node_local: 2, mutual_tls: 0, unknown: 0 });
    for (const { flows: seen, dropped } of heard) assert.deepEqual([seen, dropped], [{}, 0]);
  }

  async function assertTunnelled(): Promise<void> {
    const { result, flows, heard } = await observed();
    assert.deepEqual([result.ok, result.text], [true, secret]);
    assert.deepEqual(flows, { node_local: 0, mutual_tls: 2, unknown: 0 });
    for (const { flows: seen, needles } of heard) {
      assert.ok(Object.keys(seen).length > 0, 'it crosses the veth, where a network policy sees it');
      assert.deepEqual(
        Object.keys(seen).filter((flow) => !flow.includes(':15008')),
        [],
      );
      assert.equal(needles[secret], 0);
    }
  }

  for (const family of ['ipv4', 'ipv6'] as const) {
    it(`are joined over ${family} without a packet on any veth`, () => assertJoined(family));
  }

  it('are named in both logs as node-local ends with their identities', async () => {
    const { local } = await call(mesh.netns('client'), mesh.at('server', 8080));
    for (const direction of ['outbound', 'inbound']) {
      const line = await mesh.line(0, { 'src.addr': local ?? '', direction });
      assert.equal(line['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
      assert.equal(line['dst.identity'], 'spiffe://cluster.local/ns/shop/sa/server');
      assert.equal(line['dst.addr'], mesh.at('server', 8080));
    }
    assert.equal(findLines(await mesh.agent(0).accessLog(), { 'src.addr': local ?? '' }).length, 2);
  });

  it('keep the address and the port of the client', async () => {
    const result = await call(mesh.netns('client'), mesh.at('server', 8080));
    assert.equal(whoIn(result).peer, result.local);
  });

  it('end each half by itself', async () => {
    const options = ['--half-close', '--until', 'eof', '--bytes', '200000'];
    const { ok, text, end } = await call(mesh.netns('client'), mesh.at('server', 8082), options);
    assert.deepEqual([ok, JSON.parse(text), end], [true, { received: 200_000 }, 'fin']);
  });

  it('pass a reset on', async () => {
    const { end } = await call(mesh.netns('client'), mesh.at('server', 8083), ['--until', 'eof']);
    assert.equal(end, 'reset');
  });

  describe('speak HBONE over the veth', () => {
    const policies: Readonly<Record<string, readonly Manifest[]>> = {
      'where a NetworkPolicy selects the server': [networkPolicy('shop', 'np', { matchLabels: { app: 'server' } })],
      'where a NetworkPolicy selects the client': [networkPolicy('shop', 'np', { matchLabels: { app: 'client' } })],
      'where a NetworkPolicy selects the whole namespace': [networkPolicy('shop', 'np')],
      'with sameNode: tls': [meshSettings({ sameNode: 'tls' })],
    };
    for (const [what, manifests] of Object.entries(policies)) {
      it(what, () => mesh.under(manifests, assertTunnelled));
    }
  });

  describe('are joined still', () => {
    const policies: Readonly<Record<string, readonly Manifest[]>> = {
      'where a NetworkPolicy selects neither': [networkPolicy('elsewhere', 'np')],
      'with sameNode: local, whatever a NetworkPolicy selects': [
        networkPolicy('shop', 'np'),
        meshSettings({ sameNode: 'local' }),
      ],
    };
    for (const [what, manifests] of Object.entries(policies)) {
      it(what, () => mesh.under(manifests, () => assertJoined()));
    }
  });

  it('leave a pod that calls itself by a service to itself, whatever is wanted between pods', async () => {
    await mesh.under([meshSettings({ sameNode: 'tls' }), networkPolicy('shop', 'np')], async () => {
      const [result, heard] = await mesh.heard('server', [], () => call(mesh.netns('server'), '10.96.0.7:80'));
      assert.equal(whoIn(result).server, 'server');
      assert.deepEqual(heard.flows, {});
    });
  });

  it('keep a connection that is open when the way of new ones changes', async () => {
    const held = await hold(mesh.netns('client'), [mesh.at('server', 8081)]);
    await mesh.under([meshSettings({ sameNode: 'tls' })], async () => {
      held.write('exchange 0 70000\n');
      const line = await held.line((text) => text.includes('"exchange"'));
      assert.equal((JSON.parse(line) as { bytes: number }).bytes, 70_000);
      await assertTunnelled();
    });
    assert.equal((await held.finish()).code, 0);
  });
});
