import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { select } from '../../support/metrics.ts';
import type { LabelQuery, Sample } from '../../support/metrics.ts';
import { rootSuite } from '../../support/suite.ts';
import { waitFor } from '../../support/wait.ts';
import { servicePorts } from '../../support/waypoints/ports.ts';
import { Shop } from '../../support/waypoints/shop.ts';

rootSuite('what the waypoints of a node count', () => {
  let shop: Shop;
  before(async () => {
    shop = await Shop.open({ waypoints: { 'waypoint-a': 0, 'waypoint-b': 1 } });
  });
  after(() => shop.close());

  const counted = (pod: string, name: string, wanted: LabelQuery): Promise<Sample> =>
    waitFor(async () => select(await shop.mesh.agentOf(pod).metrics(), name, wanted).find(({ value }) => value > 0), {
      timeout: 15_000,
      what: `${name} of ${pod}`,
    });

  /** The client chooses among the replicas by itself. */
  const askBoth = async (): Promise<void> => {
    for (let round = 0; round < 20; round++) assert.equal((await shop.ask()).statuses['200'], 1);
  };

  it('is on the page of its agent, with the names of both ends and how the client came', async () => {
    await askBoth();
    for (const [pod, connection_security_policy] of [
      ['waypoint-a', 'node_local'],
      ['waypoint-b', 'mutual_tls'],
    ] as const) {
      const wanted = { waypoint: `shop/${pod}`, response_code: '200' };
      const { labels } = await counted(pod, 'istio_requests_total', wanted);
      const expected = {
        reporter: 'waypoint',
        source_workload: 'client',
        source_workload_namespace: 'shop',
        source_principal: 'spiffe://cluster.local/ns/shop/sa/client',
        destination_workload_namespace: 'shop',
        destination_principal: 'spiffe://cluster.local/ns/shop/sa/web',
        destination_app: 'web',
        destination_service_name: 'web',
        request_protocol: 'http',
        connection_security_policy,
      };
      for (const [label, value] of Object.entries(expected)) assert.equal(labels[label], value, `${pod}: ${label}`);
      assert.match(labels['destination_version'] ?? '', /^v[12]$/);
    }
  });

  it('has messages of gRPC with the names of both ends', async () => {
    const headers = { 'content-type': 'application/grpc', te: 'trailers' };
    const call = { port: servicePorts.rpc, http2: true, method: 'POST', path: '/shop.Web/Get', headers };
    for (let round = 0; round < 20; round++) assert.equal((await shop.ask(call)).statuses['200'], 1);
    const wanted = { waypoint: 'shop/waypoint-a', request_protocol: 'grpc', source_workload: 'client' };
    const { labels, value } = await counted('waypoint-a', 'istio_response_messages_total', wanted);
    assert.deepEqual(
      [labels['destination_app'], labels['grpc_response_status'], labels['reporter']],
      ['web', '0', 'waypoint'],
    );
    assert.ok(value <= 20, `${value} messages`);
  });

  it('has histograms', async () => {
    await askBoth();
    for (const name of ['request_duration_milliseconds', 'request_bytes', 'response_bytes'])
      await counted('waypoint-b', `istio_${name}_count`, { reporter: 'waypoint' });
  });

  it('shares its families with what the engine counts, each declared once', async () => {
    await shop.greeting();
    for (const pod of ['waypoint-a', 'waypoint-b']) {
      const { body } = await shop.mesh.agentOf(pod).page('metrics', '/stats/prometheus');
      const declared = [...body.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
      assert.deepEqual(declared.length, new Set(declared).size);
      assert.doesNotMatch(body, /envoy_/);
    }
  });

  it('goes on without a waypoint whose proxy is gone', async () => {
    const before = await counted('waypoint-b', 'istio_requests_total', { reporter: 'waypoint' });
    assert.ok(before.value > 0);
    await shop.mesh.rig.manifests.remove('pod-waypoint-b');
    const left = async (): Promise<boolean> =>
      select(await shop.mesh.agent(1).metrics(), 'istio_requests_total', { reporter: 'waypoint' }).length === 0;
    await waitFor(left, { timeout: 15_000, what: 'a page without the waypoint' });
    await counted('waypoint-a', 'istio_requests_total', { waypoint: 'shop/waypoint-a' });
  });
});
