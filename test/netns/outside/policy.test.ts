import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { meshSettings, service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { suiteOnBothFeeds } from '../../support/suite.ts';
import { call, wasReset, whoIn } from '../../support/testkit.ts';
import type { CallResult } from '../../support/testkit.ts';

suiteOnBothFeeds('outboundTrafficPolicy', (feed) => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      feed,
      nodes: 1,
      pods: { client: 0, other: 0, web: 0, stranger: 0 },
      members: { client: { namespace: 'shop' }, other: { namespace: 'legacy' }, web: { namespace: 'shop' } },
      servers: { web: ['whoami@[::]:8080'], stranger: ['whoami@[::]:8080'] },
    });
  });
  after(() => mesh.remove());

  const under = (policy: object, run: () => Promise<void>): Promise<void> =>
    mesh.under([meshSettings({ outboundTrafficPolicy: policy })], run);
  const toStranger = (from = 'client', family: 'ipv4' | 'ipv6' = 'ipv4'): Promise<CallResult> =>
    call(mesh.netns(from), mesh.at('stranger', 8080, family));

  it('passes on what nobody in the mesh has, unless it is set', async () => {
    assert.equal(whoIn(await toStranger()).server, 'stranger');
  });

  it('REGISTRY_ONLY resets it at once, and tells the pod and the address', async () => {
    await under({ mode: 'REGISTRY_ONLY' }, async () => {
      for (const family of ['ipv4', 'ipv6'] as const) {
        const labels = { reporter: 'source', source_workload: 'client' };
        const failed = 'istio_tcp_connections_failed_total';
        const [result] = await mesh.growth(0, failed, labels, () => toStranger('client', family), 1);
        assert.ok(wasReset(result), JSON.stringify(result));
        const line = await mesh.line(0, { 'src.addr': result.local ?? '', direction: 'outbound' });
        assert.match(String(line['error']), /not_in_registry/);
        assert.deepEqual(
          [line['src.workload'], line['src.namespace'], line['dst.addr']],
          ['client', 'shop', mesh.at('stranger', 8080, family)],
        );
      }
      assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('web', 8080))).server, 'web');
    });
    assert.equal(whoIn(await toStranger()).server, 'stranger');
  });

  it('holds for each namespace as it is set for it', async () => {
    await under({ mode: 'REGISTRY_ONLY', namespaces: { legacy: 'ALLOW_ANY' } }, async () => {
      assert.ok(wasReset(await toStranger('client')));
      assert.equal(whoIn(await toStranger('other')).server, 'stranger');
    });
  });

  it('lets through what it allows', async () => {
    await under({ mode: 'REGISTRY_ONLY', allow: [mesh.pod('stranger').ipv4] }, async () => {
      assert.equal(whoIn(await toStranger()).server, 'stranger');
      assert.ok(wasReset(await toStranger('client', 'ipv6')));
    });
  });

  it('refuses what it refuses, also as a service that somebody has made of it', async () => {
    const address = mesh.pod('stranger').ipv4;
    const entry = service({ name: 'taken', namespace: 'shop', vips: [address], ports: { 8080: 8080 }, selector: {} });
    await mesh.under([meshSettings({ outboundTrafficPolicy: { refuse: [address] } }), entry], async () => {
      const result = await toStranger();
      assert.ok(wasReset(result), JSON.stringify(result));
      const line = await mesh.line(0, { 'src.addr': result.local ?? '', direction: 'outbound' });
      assert.match(String(line['error']), /refused_address/);
    });
  });
});
